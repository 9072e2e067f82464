"""Reliability a_ℓ: how much of what a labeler says is explained by what the others prefer.

One-coin Dawid–Skene (1979) with a prior over the truth that is fitted: the labeler names the truth
with probability a and any of the K candidates otherwise, whatever its place. The truth's prior is
softmax of a small reward fitted to the *other* labelers' comparisons, times what the others who
answered the same query said. So the chance of an answer y is a·q_y + (1 − a)/K: the likelihood
under which the reward trainer takes a_ℓ. Rewards and reliabilities are found in turn, as in EM.

Nobody is judged by a reward that learned from them, and nothing here depends on sequence numbers:
leaving a labeler out gives what a ledger without them gives.

Nobody is judged by more than 500 answers, drawn by query: those who shared a query stay together,
and what it takes depends on how many labelers there are, not on how many labels.

Beside it stands how badly everybody's newest answers are explained by the same rewards: so many
answers say little of a change that has just come. That is of sequence numbers, and weighs nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Self

import numpy as np

from label_queue.quality.doubt import Evidence, newest, of_answers, on_newest_queries
from label_queue.quality.given import Bools, GivenLabels, label_digest
from label_queue.quality.small_reward import (
    NUM_BUCKETS,
    Choices,
    Floats,
    Ints,
    as_choices,
    fit_reward,
)
from protocol.fits import Comparison

PRIOR_TRUE, PRIOR_NOISE = 5.1, 0.9
"""Beta prior of a reliability a: mean 0.85 and worth six answers whose truth is known."""
FLOOR = 0.02
"""Lowest reliability: a lies in (0, 1]."""
MAX_ROUNDS, SETTLED = 5, 0.01
"""Rounds of rewards and reliabilities in turn, at most, and the change below which they end."""
MAX_GROUPS, MAX_LEARNED = 10, 1_500
MAX_JUDGED = 500
"""Answers that somebody is judged by, at most: enough for a standard error of a of 0.02."""
PENALTY = 0.3
"""Strength of the small reward's L2 penalty."""
_GRID: Floats = (np.arange(200) + 0.5) / 200
"""Values of a reliability a over which its posterior is summed."""
_LOG_PRIOR: Floats = (PRIOR_TRUE - 1) * np.log(_GRID) + (PRIOR_NOISE - 1) * np.log1p(-_GRID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What everybody's labels say of them, by name, sorted."""

    reliability: Mapping[str, float]
    """a_ℓ, in [0.02, 1)."""
    newest: Mapping[str, tuple[Evidence, ...]]
    """What their newest answers are worth by what the others prefer; see `quality.doubt`."""


def reliabilities(
    comparisons: Sequence[Comparison], gold: Mapping[str, tuple[int, int]] | None = None
) -> dict[str, float]:
    """Return a_ℓ of every labeler in some comparisons, sorted by name; see `judgement`."""
    return dict(judgement(comparisons, gold).reliability)


def judgement(
    comparisons: Sequence[Comparison], gold: Mapping[str, tuple[int, int]] | None = None
) -> Judgement:
    """Return how reliable every labeler in some comparisons is, and how they answered of late.

    With few labels a_ℓ stays near 0.85. Ties say nothing about it. A pure function of its
    arguments, whatever the order of the comparisons. Takes a second or two of one core.

    Args:
        comparisons: The training set, of which those count that `rests_on` draws.
        gold: Right and wrong gold answers by labeler, where there are any; each is an answer
            whose truth is known.
    """
    ordered = sorted(comparisons, key=lambda each: each.seq)
    given = GivenLabels.of(ordered)
    names = sorted(given.names)
    number = {name: i for i, name in enumerate(names)}
    known = [(gold or {}).get(name, (0, 0)) for name in names]
    worth: dict[str, dict[int, float]] = {}
    judging = list(compress(ordered, judges(given)))
    answers = _Answers.of(judging, number)
    k = int(np.median([len(each.candidate_token_ids) for each in judging])) if judging else 2
    if answers is None:
        nothing = np.empty(0)
        found = np.array([posterior_mean(nothing, nothing, pair, k) for pair in known])
    else:
        panel = _Judges(answers, known, k)
        found = np.full(len(names), PRIOR_TRUE / (PRIOR_TRUE + PRIOR_NOISE))
        for _ in range(MAX_ROUNDS):
            before, found = found, panel.next_round(found)
            if np.abs(found - before).max() < SETTLED:
                break
        latest = _Answers.of(compress(ordered, on_newest_queries(given)), number)
        worth = {} if latest is None else panel.worth(latest, found)
    last = {each.seq for each in compress(ordered, newest(given))}
    return Judgement(
        reliability={name: round(float(a), 6) for name, a in zip(names, found, strict=True)},
        newest={
            name: tuple(
                (seq, round(nats, 6))
                for seq, nats in sorted(worth.get(name, {}).items())
                if seq in last
            )
            for name in names
        },
    )


def rests_on(labels: GivenLabels) -> Bools:
    """Return [n], which labels a judgement rests on.

    Those by which reliabilities are found, the newest, and what others said of the same queries.

    Args:
        labels: In the order in which they came.
    """
    return judges(labels) | on_newest_queries(labels)


def judges(labels: GivenLabels) -> Bools:
    """Return [n], which labels say how reliable their labelers are: all, or 500 of each.

    Of more those on the queries with the smallest digests: what is drawn of one labeler depends on
    no other, and drawn from again it stays as it is.
    """
    drawn = np.ones(len(labels.labeler), dtype=np.bool_)
    for name, count in labels.counts().items():
        if count > MAX_JUDGED:
            own = labels.by(name)
            order = np.argsort(labels.query_digest[own], kind="stable")
            drawn[own[order[MAX_JUDGED:]]] = False
    return drawn


def posterior_mean(truth: Floats, chance: Floats, gold: tuple[int, int], k: int = 2) -> float:
    """Return the posterior mean of a, at least 0.02, given how likely each answer is the truth.

    Args:
        truth: [n], q_y, the prior probability that the answer given is the truth.
        chance: [n], 1/K.
        gold: Right and wrong answers to tasks whose truth is known.
        k: Candidates of a gold task.
    """
    likelihood = _LOG_PRIOR.copy()
    likelihood += np.log(np.outer(_GRID, truth) + np.outer(1 - _GRID, chance)).sum(axis=1)
    right, wrong = gold
    likelihood += right * np.log(_GRID + (1 - _GRID) / k) + wrong * np.log((1 - _GRID) / k)
    weights = np.exp(likelihood - likelihood.max())
    return max(FLOOR, float(weights @ _GRID / weights.sum()))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Answers:
    """The choices that some comparisons state, and what others who were asked the same said."""

    comparisons: Sequence[Comparison]
    """By query, then by labeler."""
    choices: Choices
    labeler: Ints
    """[C], who chose."""
    peers: tuple[Ints, Ints, Ints]
    """For each other's answer to a query: the row it speaks for, who, and K."""

    @classmethod
    def of(cls, comparisons: Iterable[Comparison], number: Mapping[str, int]) -> Self | None:
        """Take some comparisons of numbered labelers; None if they state no choice."""
        ordered = sorted(comparisons, key=lambda each: (each.query_id, each.labeler_id))
        choices = as_choices(ordered)
        if choices is None:
            return None
        labeler = np.array([number[each.labeler_id] for each in ordered])[choices.comparison]
        return cls(
            comparisons=ordered,
            choices=choices,
            labeler=labeler,
            peers=_peers(choices, ordered, labeler),
        )

    def others_say(self, found: Floats) -> Floats:
        """Return [R], log of how likely others' answers to the same query are if a row is true."""
        said = np.zeros(len(self.choices.texts.ends))
        rows, who, k = self.peers
        if len(rows):
            a = found[who]
            np.add.at(said, rows, np.log(a + (1 - a) / k) - np.log((1 - a) / k))
        return said


class _Judges:
    """The alternation: rewards without each labeler, then their reliabilities.

    Above ten labelers they are judged in ten groups, each by a reward without the whole group; and
    a reward learns from 1,500 comparisons at most. So the time is bounded.
    """

    def __init__(self, answers: _Answers, gold: Sequence[tuple[int, int]], k: int) -> None:
        """Take K of gold beside it: of a ranking all choices but the first are of fewer."""
        self._answers = answers
        self._gold = gold
        self._k = k
        self._group = np.arange(len(gold)) % MAX_GROUPS
        choices, labeler = answers.choices, answers.labeler
        groups = [self._group[labeler] == group for group in range(int(self._group.max()) + 1)]
        self._judged = [(choices.take(own), labeler[own]) for own in groups]
        self._judged_rows = [np.repeat(own, choices.sizes) for own in groups]
        lucky = np.isin(choices.comparison, _drawn(answers.comparisons))
        self._trained_on, self._trained_on_labeler = choices.take(lucky), labeler[lucky]
        self._features = self._trained_on.texts.matrix()
        stages = np.bincount(choices.comparison, minlength=len(answers.comparisons))
        self._weights = 1.0 / stages[self._trained_on.comparison]
        self._theta = [np.zeros(NUM_BUCKETS)] * len(groups)

    def next_round(self, found: Floats) -> Floats:
        """Return everybody's reliability, given everybody's before."""
        others_say = self._answers.others_say(found)
        result = found.copy()
        for group, (judged, labeler) in enumerate(self._judged):
            self._theta[group] = fit_reward(
                self._trained_on,
                self._features,
                np.where(self._group[self._trained_on_labeler] == group, 0.0, self._weights),
                found[self._trained_on_labeler],
                penalty=PENALTY,
                start=self._theta[group],
            )
            truth = self._truth(group, judged, others_say[self._judged_rows[group]])
            for number in np.flatnonzero(self._group == group).tolist():
                own = labeler == number
                result[number] = posterior_mean(
                    truth[own], 1.0 / judged.sizes[own], self._gold[number], self._k
                )
        return result

    def worth(self, answers: _Answers, found: Floats) -> dict[str, dict[int, float]]:
        """Return what answers are worth given reliabilities, by labeler and number; see `doubt`."""
        worth: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        others_say = answers.others_say(found)
        for group in range(len(self._theta)):
            own = self._group[answers.labeler] == group
            choices = answers.choices.take(own)
            truth = self._truth(group, choices, others_say[np.repeat(own, answers.choices.sizes)])
            nats = of_answers(truth, 1.0 / choices.sizes)
            for place, each in zip(choices.comparison.tolist(), nats.tolist(), strict=True):
                given = answers.comparisons[place]
                worth[given.labeler_id][given.seq] += each
        return worth

    def _truth(self, group: int, choices: Choices, others_say: Floats) -> Floats:
        """Return [C], how likely each answer of a group is the truth.

        Args:
            group: By the reward without whom.
            choices: Theirs; none where they have stated nothing but ties.
            others_say: [R], of those choices.
        """
        if not len(choices.sizes):
            return np.empty(0)
        rewards = choices.texts.rewards(self._theta[group]) + others_say
        return choices.probabilities(rewards)[choices.chosen]


def _drawn(comparisons: Sequence[Comparison]) -> list[int]:
    """Return the comparisons that rewards learn from: all, or those with the smallest digests."""
    if len(comparisons) <= MAX_LEARNED:
        return list(range(len(comparisons)))
    order = sorted(range(len(comparisons)), key=lambda i: label_digest(comparisons[i]))
    return order[:MAX_LEARNED]


def _peers(
    choices: Choices, comparisons: Sequence[Comparison], labeler: Ints
) -> tuple[Ints, Ints, Ints]:
    """Return, for each other's answer to a query: the row it speaks for, who, and K.

    Only of whole choices, not of a ranking's later places.
    """
    first_of: dict[str, list[int]] = defaultdict(list)
    seen: set[int] = set()
    for i, number in enumerate(choices.comparison.tolist()):
        if number not in seen and comparisons[number].outcome == "choice":
            first_of[comparisons[number].query_id].append(i)
        seen.add(number)
    found: list[tuple[int, int, int]] = []
    for group in first_of.values():
        for mine in group:
            for theirs in group:
                if labeler[mine] != labeler[theirs]:
                    index = comparisons[choices.comparison[theirs]].choice
                    assert index is not None
                    row = _row_of(choices, comparisons, mine, index)
                    found.append((row, int(labeler[theirs]), int(choices.sizes[mine])))
    table = np.array(found, dtype=np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _row_of(choices: Choices, comparisons: Sequence[Comparison], choice: int, index: int) -> int:
    """Return the row of a candidate in a choice: the one chosen is first, then the others."""
    own = comparisons[choices.comparison[choice]].choice
    assert own is not None
    start = int(choices.starts[choice])
    if index == own:
        return start
    return start + 1 + index - int(index > own)
