"""A reward version that comes to a device without room for a second model beside the live one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from protocol.errors import MemoryShort
from protocol.messages import Score
from reward_service.buckets import BatchLimits
from reward_service.hot_swap import LiveModel
from tests.support.reward import write_reward_versions
from tests.support.tiny_model import save_tiny_model

SEQUENCES = [(5, 6, 7, 8), (9, 10, 11)]


def save_wide_model(folder: Path, *, width: int, layers: int) -> None:
    """Write a GPT-2 of random weights, with the tokenizer and the words of the tiny model."""
    save_tiny_model(folder)
    shape = GPT2Config.from_pretrained(folder)
    shape.update({"n_embd": width, "n_layer": layers})
    GPT2LMHeadModel(shape).save_pretrained(folder)


def swap_without_room(
    root: Path, policy: Path, device: torch.device, shortage: AbstractContextManager[None]
) -> list[Score]:
    """Refuse a version while memory is short, serve the old one on, and take it afterwards.

    Args:
        root: For what is written.
        policy: What reward models are made of.
        device: Where they are served.
        shortage: In which the device has room for one of them, and not for two.

    Returns:
        What the first version says of `SEQUENCES` on the device.
    """
    first, second = write_reward_versions(root / "reward", policy, 2)
    live = LiveModel(SEQUENCES, BatchLimits(max_tokens=64, max_sequences=8), device=device)
    live.swap(first)
    (before,) = live.score([SEQUENCES])
    with shortage:
        with pytest.raises(MemoryShort, match=r"has no room on .* for reward version 2"):
            live.swap(second)
        assert live.score([SEQUENCES]) == [before], "the old version is served on"
    live.swap(second)
    (after,) = live.score([SEQUENCES])
    assert not isinstance(before, Exception)
    assert not isinstance(after, Exception)
    assert {each.reward_version for each in before} == {1}
    assert {each.reward_version for each in after} == {2}
    return before
