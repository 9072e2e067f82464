"""What happened in a run, on record: written and read here, and nowhere else."""
