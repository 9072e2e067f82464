"""Instructions: what a reward costs elsewhere, and pretraining text against it (Ouyang 2022)."""
