"""Records of what people chose, read from files: real sets by name, public sets by path, and anyone's Parquet."""
