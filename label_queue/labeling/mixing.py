"""Which of a labeler's tasks is gold, a repeat, or the next of the schedule."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import islice

from label_queue.folds.board import ON_TOP, QueryBoard
from label_queue.folds.history import LabelHistory
from label_queue.quality.gold_tasks import AskMoment, gold_showing, is_template, repetition
from label_queue.quality_config import QualityConfig
from protocol.distinct import is_comparison
from protocol.labels import Assignment, ComparisonQuery, Submitted

NUM_DRAWS = 32
"""How many of somebody's answers are drawn before all of them are gone through."""


class TaskMixer:
    """Draws gold and repeats at their shares, task by task and labeler by labeler.

    A draw takes the place of a task that the board has ready, so gold neither comes sooner than
    another task nor fills the time when there is nothing to ask. Draws are independent: no pattern
    tells a labeler which of their tasks is which.
    """

    def __init__(
        self,
        board: QueryBoard,
        history: LabelHistory,
        config: QualityConfig,
        *,
        rng: random.Random,
        new_id: Callable[[], str],
    ) -> None:
        """Take up what board and history hold; `note` every assignment made later."""
        self._board = board
        self._history = history
        self._config = config
        self._rng = rng
        self._new_id = new_id
        self._num_tasks = Counter(board.given.num_tasks)
        self._shown: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """How often each query was asked again, gold templates and own queries, by labeler."""
        for name, counts in board.given.num_again.items():
            self._shown[name] = Counter(counts)
        self._templates: list[ComparisonQuery] = []
        self._num_seen = 0
        """How many gold queries and repeats were looked at for templates."""

    def note(self, assignment: Assignment, query: ComparisonQuery) -> None:
        """Count a task that a labeler was given."""
        self._num_tasks[assignment.labeler_id] += 1
        if query.purpose in ON_TOP and query.repeat_of is not None:
            self._shown[assignment.labeler_id][query.repeat_of] += 1

    def draw(self, labeler_id: str, now: float, *, is_doubted: bool) -> ComparisonQuery | None:
        """Return a fresh query to ask instead of the next of the schedule, or None.

        Judges are asked none: whether they are any good decides about no training.

        Args:
            labeler_id: Who asks for a task.
            now: The server's clock.
            is_doubted: Whether they get more gold, and no more than that: the model would purge
                dissent.
        """
        if self._history.standings[labeler_id].is_judge:
            return None
        drawn = self._rng.random()
        gold_share = self.gold_share(labeler_id, is_doubted=is_doubted)
        moment = AskMoment(now=now, labels=self._history.num_submitted)
        if drawn < gold_share:
            template = self._gold_for(labeler_id)
            return template and gold_showing(template, self._new_id(), moment)
        if drawn < gold_share + self._config.repeat_share:
            query = self._past_of(labeler_id)
            return query and repetition(query, self._new_id(), moment)
        return None

    def gold_share(self, labeler_id: str, *, is_doubted: bool) -> float:
        """Return the share of gold in a labeler's next task."""
        config = self._config
        is_new = self._num_tasks[labeler_id] < config.gold.first_tasks
        share = config.gold.share
        if is_doubted:
            share = max(share, min(config.gold.share_doubted, 1.0 - config.repeat_share))
        if is_new or self._history.standings[labeler_id].state == "probation":
            share = max(share, config.gold.share_first)
        return share

    def _gold_for(self, labeler_id: str) -> ComparisonQuery | None:
        """Return one of the templates asked least often; none made of a query of their own."""
        self._look_for_templates()
        shown, gold = self._shown[labeler_id], self._history.standings.gold

        def fits(template: ComparisonQuery) -> bool:
            past = template.repeat_of
            is_own = past is not None and self._board.given.number(labeler_id, past) is not None
            return gold.judges(template) and not is_own

        fit = [each for each in self._templates if fits(each)]
        fewest = min((shown[each.query_id] for each in fit), default=0)
        fresh = [each for each in fit if shown[each.query_id] == fewest]
        return self._rng.choice(fresh) if fresh else None

    def _past_of(self, labeler_id: str) -> ComparisonQuery | None:
        """Return a query of their own to ask again: answered a while ago, and asked once so far."""
        submits, prefers = self._history.submits_of(labeler_id), self._history.columns.prefers
        old = submits.seqs[: max(0, len(submits) - self._config.repeat_after)]

        def fits(event: Submitted) -> bool:
            return (
                event.query_id not in self._board.again
                and event.query_id not in self._shown[labeler_id]
            )

        # Nearly all of them fit, and of somebody's thousands of answers few are to be read.
        drawn = (self._rng.choice(old) for _ in range(min(len(old), NUM_DRAWS)))
        some = (self._history.first_answer(seq) for seq in drawn if prefers(seq))
        event = next(filter(fits, some), None)
        if event is None:
            rest = self._history.first_answers(seq for seq in old if prefers(seq))
            fit = [each for each in rest if fits(each)]
            event = self._rng.choice(fit) if fit else None
        # Only what is chosen is read: the others may still be the ledger's text.
        chosen = None if event is None else self._board.queries[event.query_id]
        return chosen if chosen is not None and is_comparison(chosen.candidates) else None

    def _look_for_templates(self) -> None:
        """Take up the templates among the queries that were written since the last look."""
        names = islice(self._board.again, self._num_seen, None)
        new = (self._board.queries[name] for name in names)
        self._templates += [
            query for query in new if is_template(query) and is_comparison(query.candidates)
        ]
        self._num_seen = len(self._board.again)


def draw_order(
    query: ComparisonQuery,
    rng: random.Random,
    shown_before: tuple[int, ...] | None = None,
) -> tuple[int, tuple[str, ...]]:
    """Return a seed and the order of candidates that `random.Random(seed).shuffle` gives.

    Args:
        query: Whose candidates are shuffled.
        rng: Draws the seed.
        shown_before: The order, as indices, in which a repeat was shown the first time: another
            comes out, of a pair the flipped one.
    """
    while True:
        seed = rng.getrandbits(32)
        order = list(range(len(query.candidates)))
        random.Random(seed).shuffle(order)
        if tuple(order) != shown_before:
            return seed, tuple(query.candidates[i].candidate_id for i in order)
