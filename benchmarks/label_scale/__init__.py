"""How the label side grows."""
