"""How work on many blocks runs: here, or on several machines; what the work is comes from the caller."""
