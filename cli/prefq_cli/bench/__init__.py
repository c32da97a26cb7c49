"""What the subcommands of prefq bench share: strategies by name, worker processes, results on disk, reports."""
