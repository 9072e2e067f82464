"""How long tests wait for what must come, where no promise of Andon's says how soon."""

from __future__ import annotations

PATIENCE_S = 600.0
"""The end of a test that hangs. A run that is up in 30 s alone takes five times that on a slow
machine that others keep busy, and an HTTP client's own 5 s pass while one process imports torch.
"""
