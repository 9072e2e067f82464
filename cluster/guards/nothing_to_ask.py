"""Orders that bring no query, one after another: people have nothing left to compare.

The starting policy was seen to end its responses, each unlike the others, before anybody was asked;
so it is training that has led the policy to where it does not, and a person has to look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cluster.guards.settings import GuardSettings
from cluster.guards.verdict import Sample, Verdict
from protocol.errors import NothingToAsk

NAME = "nothing_to_ask"


class NothingToAskConfig(GuardSettings):
    """Whether the cord is pulled. If not, the run ends with an error."""


def of_orders(
    error: NothingToAsk, figures: Mapping[str, float], samples: Sequence[Sample]
) -> Verdict:
    """Return what there is to say of them.

    Args:
        error: What the label queue said.
        figures: Where the policy stands.
        samples: Responses of the last batch, which show what it writes.
    """
    return Verdict(guard=NAME, reason=error.found, figures=figures, samples=tuple(samples))
