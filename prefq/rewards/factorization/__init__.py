"""Learning base rewards from a group's comparisons: one method a file, all linear in encodings of the items."""
