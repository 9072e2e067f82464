"""Revision N leads to `schema_version` N. What a step says never changes once it was released."""
