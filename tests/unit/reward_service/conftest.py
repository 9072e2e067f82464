"""A reference policy small enough for unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from reward_service.buckets import BatchLimits
from tests.support.tiny_model import save_tiny_model


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random GPT-2: width 64, 53 tokens, 64 positions."""
    return save_tiny_model(tmp_path_factory.mktemp("reference") / "tiny-gpt2")


@pytest.fixture
def limits() -> BatchLimits:
    return BatchLimits(max_tokens=64, max_sequences=4)
