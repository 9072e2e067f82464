"""New weights for an engine that is at work: how long it stands still, and how fast they come."""
