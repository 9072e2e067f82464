"""What stops the line by itself: one guard a module, and what asks them."""
