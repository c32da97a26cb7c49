"""Where sessions and profiles live: the only room that speaks to a database."""
