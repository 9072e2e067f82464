"""The reward model on a GPU: its scores are the CPU's, and a swap without room changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from protocol.errors import NotFinite
from reward_service.buckets import BatchLimits
from reward_service.hot_swap import LiveModel
from tests.support.crowded_swap import SEQUENCES, save_wide_model, swap_without_room
from tests.support.reward import write_reward_versions

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU; there is none"),
]

CUDA = torch.device("cuda")


@contextmanager
def no_room_for_another() -> Iterator[None]:
    """Bound what this process may take of the device to half a model more than it has."""
    held, total = torch.cuda.memory_reserved(), torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(1.5 * held / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_a_swap_without_room_leaves_the_old_version_live(tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    save_wide_model(policy, width=1024, layers=8)
    swap_without_room(tmp_path, policy, CUDA, no_room_for_another())


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-3), (torch.bfloat16, 0.1)])
def test_scores_are_the_cpu_s(tmp_path: Path, dtype: torch.dtype, atol: float) -> None:
    policy = tmp_path / "policy"
    save_wide_model(policy, width=64, layers=2)
    (version,) = write_reward_versions(tmp_path / "reward", policy, 1)
    said = []
    for device, own in ((CUDA, dtype), (torch.device("cpu"), torch.float32)):
        limits = BatchLimits(max_tokens=64, max_sequences=8)
        live = LiveModel(SEQUENCES, limits, device=device, dtype=own)
        live.swap(version)
        (scores,) = live.score([SEQUENCES])
        assert not isinstance(scores, NotFinite)
        said.append([each.value for each in scores])
    assert said[0] == pytest.approx(said[1], abs=atol)
