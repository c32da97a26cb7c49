"""What we believe about a user: arrays in, arrays out."""
