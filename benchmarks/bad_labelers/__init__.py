"""Labelers of whom half are bad: how soon they are found out, and what their labels cost."""
