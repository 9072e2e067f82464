"""Marked words as rewards of their own, beside the score at the end."""
