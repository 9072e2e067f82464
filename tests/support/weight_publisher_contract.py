"""What every weight path promises at the learner's end."""

from __future__ import annotations

from abc import abstractmethod

import pytest
import torch
from torch import Tensor

from protocol.errors import VersionError
from protocol.messages import WeightsRef
from protocol.ports import WeightPublisher
from tests.support.contract import Contract


def weights(value: float) -> dict[str, Tensor]:
    """Two tensors full of one number."""
    return {
        "table": torch.full((2, 3), value),
        "lm_head.weight": torch.full((4,), value, dtype=torch.bfloat16),
    }


class WeightPublisherContract(Contract):
    """Subclasses give a `publisher` that keeps two versions, and read as an actor would."""

    @abstractmethod
    def read(self, publisher: WeightPublisher, version: int, ref: WeightsRef) -> dict[str, Tensor]:
        """Return what an actor finds that was told `ref`."""

    def test_the_last_versions_can_be_read_each_as_it_was_published(
        self, publisher: WeightPublisher
    ) -> None:
        refs = {version: publisher.publish(version, weights(version)) for version in (0, 1, 5)}
        for version in (1, 5):
            found = self.read(publisher, version, refs[version])
            assert set(found) == set(weights(version))
            for name, tensor in weights(version).items():
                assert torch.equal(found[name], tensor)
        assert refs[5].num_bytes >= 6 * 4 + 4 * 2

    @pytest.mark.parametrize("version", [3, 2])
    def test_a_version_never_comes_twice_nor_an_older_one(
        self, publisher: WeightPublisher, version: int
    ) -> None:
        ref = publisher.publish(3, weights(3))
        with pytest.raises(VersionError):
            publisher.publish(version, weights(9))
        assert torch.equal(self.read(publisher, 3, ref)["table"], weights(3)["table"])

    def test_closing_twice_is_allowed(self, publisher: WeightPublisher) -> None:
        publisher.publish(0, weights(0))
        publisher.close()
        publisher.close()
