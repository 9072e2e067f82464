"""Books: passages summed up, then summaries of summaries, in the form of Wu et al. (2021)."""
