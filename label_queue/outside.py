"""Outside labelling tools, as far as the label queue looks at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from protocol.errors import UnknownTask


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorHealth:
    """How it stands with one outside labelling tool."""

    name: str
    state: str
    """How it stands now: "starting", "ok", or "failing: …" with the reason."""
    last_sweep_at: float | None
    """When a sweep last succeeded, Unix seconds; None before the first that did."""

    @property
    def is_failing(self) -> bool:
        """Whether the last sweep failed."""
        return self.state.startswith("failing")


class OutsideTools(Protocol):
    """What keeps the tools and the ledger together; the label queue only asks it how it goes."""

    def health(self) -> Sequence[ConnectorHealth]:
        """Return how it stands with each tool."""
        ...

    def stats(self) -> Mapping[str, float]:
        """Return the metrics on the axis `labels/seq`."""
        ...


class NoTools:
    """A run that reads no outside tool."""

    def health(self) -> Sequence[ConnectorHealth]:
        """Return nothing."""
        return ()

    def stats(self) -> Mapping[str, float]:
        """Return nothing."""
        return {}

    async def knock(self, connector: str, headers: Mapping[str, str]) -> None:
        """Raise UnknownTask."""
        raise unknown_connector(connector)

    async def ring(self, connector: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Raise UnknownTask."""
        raise unknown_connector(connector)


def unknown_connector(name: str) -> UnknownTask:
    """Return what is raised for a webhook of a connector that the run does not have."""
    return UnknownTask(f"this run has no connector {name!r}: check the hook's address")
