"""Each part of the system by itself, on what a run has left or is leaving."""
