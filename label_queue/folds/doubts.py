"""Who is in doubt, by what is kept of gold and repeats and what the last fit said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from label_queue.config import LabelsConfig
from label_queue.folds.tallies import Tallies
from label_queue.quality.doubt import Evidence, doubt, of_gold, of_repeat
from label_queue.quality.gold import evidence
from label_queue.quality.standings import Standings


class Doubts:
    """Everybody's doubt as of now; see `quality.doubt`.

    What a fit said of the newest answers is not in the ledger: from a start to the next fit there
    is none.
    """

    def __init__(self, standings: Standings, tallies: Tallies, config: LabelsConfig) -> None:
        self._standings = standings
        self._tallies = tallies
        self._k = config.num_candidates
        self._quality = config.quality
        self._one_wrong = evidence(is_right=False, config=config.quality, k=self._k)
        self.reliability: Mapping[str, float] = {}
        """Each labeler's a_ℓ as of the last fit; empty before the first. Not to be changed."""
        self.newest: Mapping[str, Sequence[Evidence]] = {}
        """What everybody's newest answers are worth by what the others prefer, as of the last fit
        that was ordered. Not to be changed."""

    def nats(self, labeler_id: str) -> float:
        """Return what speaks for chance in all that somebody answered of late, nats, at least 0."""
        return doubt(self._evidence(labeler_id))

    def holds(self, labeler_id: str) -> bool:
        """Say whether somebody is in doubt; nobody who is asked no gold, which alone decides."""
        standing = self._standings[labeler_id]
        was_asked = standing.gold_right + standing.gold_wrong > 0
        if not was_asked or self._quality.gold.share == 0.0:
            return False
        if standing.gold_against >= self._one_wrong:
            return True
        if self.reliability.get(labeler_id, 1.0) < self._quality.doubt_below:
            return True
        return self.nats(labeler_id) >= self._quality.doubt_from

    def doubted(self) -> list[str]:
        """Return who of those who are given tasks to train by is in doubt, sorted."""
        everybody = self._standings.items()
        judged = [name for name, each in everybody if each.gets_tasks and not each.is_judge]
        return [name for name in judged if self.holds(name)]

    def _evidence(self, labeler_id: str) -> Iterator[Evidence]:
        k, usual = self._k, self._quality.good_accuracy
        for seq, is_right in self._standings.newest_gold(labeler_id):
            yield seq, of_gold(k, usual, is_right=is_right)
        for seq, is_alike in self._tallies.newest_repeats(labeler_id):
            yield seq, of_repeat(k, is_alike=is_alike)
        yield from self.newest.get(labeler_id, ())
