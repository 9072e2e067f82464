"""The machine's clock, set back while a test goes on; nothing but what psutil makes of it moves."""

from __future__ import annotations

import psutil
import pytest
from psutil import _pslinux


def set_clock_back(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have psutil say of every process that it started so much earlier, as it does then."""
    before = psutil.boot_time()
    monkeypatch.setattr(_pslinux, "boot_time", lambda: before - seconds)
