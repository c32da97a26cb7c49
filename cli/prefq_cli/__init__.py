"""The command line: a shell around `prefq`, which knows nothing of it."""
