"""How simulated labelers judge. Parameters after B-Pref (Lee et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from protocol.settings import Fraction, Seed, Settings

GoldName = Literal["reviews", "descriptiveness", "summaries", "books", "dialogues", "vader"]
"""The gold scores there are; `gold/registry.py` finds them."""


class SimulatedConfig(Settings):
    """What all simulated labelers of a run have in common."""

    gold: GoldName | None = None
    """The hidden score that they judge by, and that the report draws. Of our own generators' texts:
    "reviews", how good they say that something is, "descriptiveness", how much they describe,
    "summaries", how truly and shortly they sum up a news article, "books" the same of a book's
    parts, or "dialogues", how rightly they confirm what was agreed on. Of any English text:
    "vader", its sentiment (`pip install 'andon[smollm2]'`). None: that of the prompts where they
    are generated, "reviews" of other texts that simulated labelers read, and none where people
    alone label texts of their own."""


class LabelerProfile(Settings):
    """One simulated labeler."""

    beta: float = Field(default=1.0, ge=0, le=1e6)
    """Rationality: choices follow softmax(beta × utility). 0 chooses blindly."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Myopia: a clause n clauses before the last counts gamma^n. 1 remembers everything."""
    eps_mistake: Fraction = 0.0
    """Probability that the answer slips: another candidate, or the ranking reversed."""
    eps_skip: Fraction = 0.0
    """Probability of passing on a task."""
    eps_equal: float = Field(default=0.0, ge=0, le=1e6)
    """Candidates whose utilities all lie this close are called a tie."""
    position_bias: float = Field(default=0.0, ge=-1e6, le=1e6)
    """Added to the logit of the candidate shown first."""
    drift: float = Field(default=0.0, ge=0, le=1_000)
    """Fatigue: after n labels beta has become beta × exp(−drift × n)."""
    is_adversarial: bool = False
    """Whether the worst is preferred to the best."""
    adversarial_after: int | None = Field(default=None, ge=0, le=1_000_000_000)
    """Labels given honestly before the worst is preferred to the best; None: never."""
    honest_from: float | None = Field(default=None, ge=0, le=1e6)
    """Lead of the best utility over the second from which on one who has turned chooses honestly
    all the same, for so clear a task may be gold; None: they never do."""
    marks: Fraction = 0.0
    """Probability of marking a word that the gold score turns on as good or bad. 0: marks none."""
    marks_from: float = Field(default=0.25, gt=0, le=1e6)
    """Least that the gold score must lose, or gain, without a word for it to be marked."""
    seconds_per_label: float = Field(default=1.0, ge=0, le=1e6)
    """Mean time spent on a task; single times lie within half of it on both sides."""
    seed: Seed = 0
    """Seed of their choices, slips and times."""

    def has_turned(self, num_given: int) -> bool:
        """Say whether the worst is preferred to the best, after so many labels."""
        after = self.adversarial_after
        return self.is_adversarial or (after is not None and num_given >= after)

    def is_on_guard(self, utilities: Sequence[float]) -> bool:
        """Say whether a task is so clear that one who has turned chooses honestly, [K ≥ 2]."""
        best, second = sorted(utilities, reverse=True)[:2]
        return self.honest_from is not None and best - second >= self.honest_from
