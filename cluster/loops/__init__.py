"""What the controller's loops use."""
