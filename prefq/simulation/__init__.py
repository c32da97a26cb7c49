"""Simulated users and worlds: pure, with a generator handed in."""
