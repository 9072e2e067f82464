"""Other labelling tools as fronts: open queries go out as tasks, answers come back as labels."""
