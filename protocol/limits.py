"""The largest whole numbers that what is below us takes."""

from __future__ import annotations

LARGEST_SEED = 2**32 - 1
"""What vLLM, numpy and PyTorch all take."""
LARGEST_STORED = 2**63 - 1
"""What the ledger's database can hold."""
