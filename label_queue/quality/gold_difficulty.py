"""How hard each gold query is beside other gold, by how labelers in good standing answer it."""

from __future__ import annotations

from label_queue.kept import kept
from label_queue.quality_config import QualityConfig

PRIOR_ANSWERS = 10
"""Answers that a gold query counts as having had, as right as those to all gold are."""
LEAST_LEAD = 0.5
"""Least lead over chance that good labelers are held to have on any gold, as a share of their usual
one: however many answer it wrongly, it goes on saying something."""


@kept("_answers", "_right", "_wrong")
class GoldDifficulty:
    """How often each gold query was answered rightly, event by event.

    An answer counts if whoever gave it was in good standing then; it weighs for those who come
    after. What counts is how a query compares with all other gold: where all of it is answered
    badly, people are bad, and it is as telling as ever.
    """

    def __init__(self) -> None:
        self._answers: dict[str, tuple[int, int]] = {}
        """Right and wrong answers, by template."""
        self._right = 0
        self._wrong = 0

    def take(self, gold_id: str, *, is_right: bool) -> None:
        """Take an answer of somebody in good standing."""
        right, wrong = self._answers.get(gold_id, (0, 0))
        self._answers[gold_id] = right + is_right, wrong + (not is_right)
        self._right += is_right
        self._wrong += not is_right

    def usual(self, gold_id: str, k: int, config: QualityConfig) -> float:
        """Return how often a good labeler answers a gold query rightly, by those before.

        p₁ of gold as hard as most, and less of what is harder, its lead over chance in the ratio of
        the two: never above p₁, so that no answer weighs more than the run lengths were worked out
        for.

        Args:
            gold_id: The template.
            k: K, its candidates.
            config: p₁.
        """
        good, chance = config.good_accuracy, 1 / k
        of_all = _shrunk(self._right, self._wrong, good)
        of_it = _shrunk(*self._answers.get(gold_id, (0, 0)), of_all)
        if good <= chance or of_all <= chance or of_it >= of_all:
            return good
        return chance + (good - chance) * max(LEAST_LEAD, (of_it - chance) / (of_all - chance))


def _shrunk(right: int, wrong: int, usual: float) -> float:
    """Return the share of right answers, shrunk towards the usual one."""
    return (PRIOR_ANSWERS * usual + right) / (PRIOR_ANSWERS + right + wrong)
