"""Metrics: one catalogue of names, one hub, and the sinks that all read the same rows."""
