"""When the reward model is fitted, and to what."""
