"""Base reward functions: text in, features out."""
