"""How much longer a step takes than the slower of generation and training."""
