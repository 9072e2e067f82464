"""Labelers who are programs: a hidden gold score, a model of human choice, and an HTTP client."""
