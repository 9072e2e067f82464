"""What a run of another size would do: a queueing model, fed with the times of a real run."""
