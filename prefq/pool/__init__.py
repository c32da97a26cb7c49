"""What can be asked: items, their base reward features, and the pairs that make questions."""
