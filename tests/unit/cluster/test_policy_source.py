"""Where the policy comes from: whatever the hub's client raises, the user is told what to mend."""

from __future__ import annotations

import pytest

from cluster.starting.policy_source import policy_folder
from protocol.errors import MissingError


@pytest.mark.parametrize(
    "error",
    [OSError("no route"), ValueError("not a repo id"), RuntimeError("client"), KeyError("x")],
    ids=lambda error: type(error).__name__,
)
def test_what_the_hub_raises_is_told(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(MissingError, match=rf"policy\.path some/model: .*{type(error).__name__}"):
        policy_folder("some/model")
