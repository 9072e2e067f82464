"""Who is doubted, by what is kept of gold and repeats and what the last fit said."""

from __future__ import annotations

from collections.abc import Mapping

from label_queue.config import QualityConfig
from label_queue.folds.tallies import Tallies
from label_queue.quality.doubt import of_repeats
from label_queue.quality.gold import evidence
from label_queue.quality.standing import Standings


class Doubts:
    """Everybody's doubt as of now; see `quality.doubt`.

    What a fit said of the newest answers is not in the ledger, and is 0 from a start to the next
    fit.
    """

    def __init__(self, standings: Standings, tallies: Tallies, config: QualityConfig) -> None:
        self._standings = standings
        self._tallies = tallies
        self._config = config
        self._one_wrong = evidence(is_right=False, config=config)
        self.reliability: Mapping[str, float] = {}
        """Each labeler's a_ℓ as of the last fit; empty before the first. Not to be changed."""
        self.unexplained: Mapping[str, float] = {}
        """What speaks for chance in everybody's newest answers, nats, as of the last fit that was
        ordered. Not to be changed."""

    def nats(self, labeler_id: str) -> float:
        """Return what speaks for chance in all that somebody answered of late, nats, at least 0."""
        repeats = of_repeats(*self._tallies.newest_repeats(labeler_id))
        of_gold = self._standings[labeler_id].drift
        return of_gold + repeats + self.unexplained.get(labeler_id, 0.0)

    def holds(self, labeler_id: str) -> bool:
        """Say whether somebody is doubted: asked more gold, and nothing else."""
        if self._standings[labeler_id].drift >= self._one_wrong:
            return True
        if self.reliability.get(labeler_id, 1.0) < self._config.doubt_below:
            return True
        return self.nats(labeler_id) >= self._config.doubt_from

    def doubted(self) -> list[str]:
        """Return who of those who are given tasks to train by is doubted, sorted."""
        everybody = self._standings.items()
        judged = [name for name, each in everybody if each.gets_tasks and not each.is_judge]
        return [name for name in judged if self.holds(name)]
