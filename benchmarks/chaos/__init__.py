"""A run whose processes are killed at random, all through it."""
