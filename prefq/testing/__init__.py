"""Contract suites: what an extension must do, as functions that its author calls in a test."""
