"""Configs to start from, and published experiments to run again."""
