"""The owner's side: who labels how well, taking labels back, the cord, lineage."""
