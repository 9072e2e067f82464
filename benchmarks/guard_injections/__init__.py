"""The demo with one thing turned upside down: which guard stops it, and when."""
