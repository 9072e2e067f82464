"""A training set as bytes, by which the folds of two ledgers are compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from protocol.fits import Comparison


def dataset_bytes(comparisons: Sequence[Comparison]) -> bytes:
    """Return a training set as canonical JSON."""
    rows = [asdict(comparison) for comparison in comparisons]
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode()
