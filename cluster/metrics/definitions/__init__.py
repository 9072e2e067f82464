"""What each metric is, section by section: what the catalogue and docs/METRICS.md are made of."""
