"""The label side's figures, named as in the list of metrics."""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from itertools import islice
from statistics import median

from label_queue.figures.agreement import nominal_alpha
from label_queue.figures.judged import JudgedRates, judged_rates
from label_queue.figures.online import Online, OnlineFold
from label_queue.figures.validation import (
    WINDOW,
    ValidationVote,
    WinRate,
    win_share,
    winrate,
)
from label_queue.figures.validation_votes import ValidationFold
from label_queue.folds.board import QueryBoard
from label_queue.folds.history import LabelHistory
from label_queue.folds.lineage import left_behind
from label_queue.folds.view import LearnedLabels, LedgerView
from label_queue.percentile import percentile
from label_queue.quality.gold import gold_accuracy
from label_queue.quality.preference import stated_best
from label_queue.quality_config import QualityConfig
from protocol.labels import AnswerEvent, PolicyProvenance, Submitted

RECENT = 500
"""Labels or queries that a moving figure looks back on."""


class LabelFigures:
    """Measures the label side from the board and the history; writes neither."""

    def __init__(
        self,
        board: QueryBoard,
        history: LabelHistory,
        policies: dict[int, PolicyProvenance],
        view: Callable[[], LedgerView],
        learned: LearnedLabels,
        config: QualityConfig,
    ) -> None:
        """Take what is measured; `view` returns what the ledger holds now.

        `policies` are by version, rising; later ones are seen.
        """
        self._board = board
        self._policies = policies
        self._history = history
        self._view = view
        self._online = OnlineFold(board.queries, learned, config)
        self._validation = ValidationFold(board.queries, history)
        self.num_duplicates = 0
        self.num_rejected = 0
        self._query_lags: deque[int] = deque(maxlen=RECENT)
        self._num_policies = 0
        self._left_behind: frozenset[int] = frozenset()
        """As of so many policy versions."""

    def folds(self) -> dict[str, object]:
        """Return the folds that the figures are read from, by name."""
        return {"online": self._online, "validation": self._validation}

    def first_sampled(self, version: int, at: float) -> None:
        """Note when the first response of a policy version came, Unix seconds."""
        self._online.first_sampled(version, at)

    def catch_up(self) -> None:
        """Measure what came since the last look: after a start, the whole ledger."""
        self._online.grow(self._view())
        self._validation.catch_up()

    def online(self) -> Online:
        """Return the coverage of each query, and the latency of each label."""
        return self._online.take(self._view(), self._history.training_rows())

    def validation_votes(self) -> list[ValidationVote]:
        """Return all choices between π and ρ that count, by `seq`; see `validation.as_vote`."""
        return self._validation.votes()

    def votes_on_now(self, last: int | None = None) -> list[ValidationVote]:
        """Return those on the policy as it is now, or the newest `last` of them.

        What a rollback left behind says nothing of the version that it restored.
        """
        return self._validation.votes(last, self.left_behind())

    def left_behind(self) -> frozenset[int]:
        """Return the policy versions that rollbacks left behind.

        They are found anew with a new version, once there was a rollback.
        """
        policies = self._policies.values()
        if num_new := len(policies) - self._num_policies:
            new = islice(reversed(policies), num_new)
            if self._left_behind or any(each.restored_from is not None for each in new):
                self._left_behind = left_behind(policies)
            self._num_policies += num_new
        return self._left_behind

    def winrate(self, last: int | None = None) -> WinRate:
        """Return π's win rate over ρ on validation labels, of all or of the newest `last`.

        The newest are those on the policy as it is now. A label is a win if the response it puts
        first is π's; see `validation.as_vote`.
        """
        return winrate(self.validation_votes() if last is None else self.votes_on_now(last))

    def judged(self, last: int | None = None) -> JudgedRates:
        """Return the win rates by those who label to train and by judges, on shared queries.

        Args:
            last: How many queries at most, the newest on the policy as it is now; None: all of the
                run, whatever a rollback left behind.
        """
        left = frozenset() if last is None else self.left_behind()
        judging = self._validation.judged_votes(left)
        return judged_rates(self._validation.newest_votes(left) if judging else (), judging, last)

    def query_made(self, policy_lag: int) -> None:
        """Note how many versions behind the newest policy a new query's oldest token was."""
        self._query_lags.append(policy_lag)

    def stats(self, *, now: float, scheduled: int) -> dict[str, float]:
        """Return the metrics of `labels/` and `labelers/` that the ledger defines by now.

        Shares and latencies look back on the newest 500 labels, as they stand.
        """
        history = self._history
        row: dict[str, float] = {
            "labels/seq": history.last_seq,
            "labels/received": history.num_submitted + self.num_duplicates + self.num_rejected,
            "labels/accepted": history.num_submitted,
            "labels/duplicate": self.num_duplicates,
            "labels/rejected": self.num_rejected,
            "labels/retracted": history.num_retracted,
            "labels/counted": history.num_preferences,
            "labels/scheduled": scheduled,
            "labels/deficit": max(0, scheduled - history.num_preferences),
            "labels/outstanding": self._board.open_slots,
        }
        recent = history.newest_submits(RECENT)
        # Gold and repeats are about labelers' quality: rates are of the schedule's queries alone.
        if asked := [event for event in recent if history.columns.is_asked(event.seq)]:
            row |= self._rates(asked, now)
        return _defined(row | self._quality())

    def _quality(self) -> dict[str, float]:
        standings = self._history.standings.items()
        answered = [each for _, each in standings if each.gold_right + each.gold_wrong > 0]
        right = sum(each.gold_right for each in answered)
        wrong = sum(each.gold_wrong for each in answered)
        states = Counter(each.state for _, each in standings)
        means = [gold_accuracy(each.gold_right, each.gold_wrong).mean for each in answered]
        return {
            "labels/gold_accuracy": right / (right + wrong) if answered else math.nan,
            "labelers/probation": states["probation"],
            "labelers/questioned": states["questioned"],
            "labelers/suspended": states["suspended"],
            "labelers/median_gold_accuracy": median(means) if means else math.nan,
        }

    def grow_online(self, view: LedgerView) -> None:
        """Measure how online the run is up to a view; in any thread, one at a time.

        Of a refit all labels are gone through, which with very many takes a while.
        """
        self._online.grow(view)

    def coverage(self) -> tuple[float, ...]:
        """Return, for each query made since the first reward version, how much it had learned.

        As of the last look, see `grow_online`.
        """
        return self._online.shares()

    def online_stats(self) -> dict[str, float]:
        """Return the metrics of `online/` and the win rate, as far as defined by now.

        Coverage, latency and win rate are of the whole run so far, as in the report; the recent win
        rate is of the newest votes on the policy as it is now, and so are the judges' and the gap.
        Coverage and latency are as of the last look, see `grow_online`.
        """
        row: dict[str, float] = {
            "policy/winrate_vs_reference": self._validation.win_share(),
            "policy/winrate_recent": win_share(self.votes_on_now(WINDOW)),
        }
        online = self._online.summary
        judged = self.judged(WINDOW)
        row |= {
            "policy/winrate_judges": judged.by_judges.rate,
            "policy/winrate_gap": judged.gap,
        }
        known: dict[str, float | None] = {
            "online/coverage": online.coverage_median,
            "online/label_to_policy_latency_p50": online.latency_p50_s,
            "online/label_to_policy_latency_p95": online.latency_p95_s,
        }
        row |= {name: value for name, value in known.items() if value is not None}
        if self._query_lags:
            row["online/query_policy_lag"] = median(self._query_lags)
        return _defined(row)

    def _rates(self, recent: Sequence[Submitted], now: float) -> dict[str, float]:
        queries = self._board.queries
        waits = [each.received_at - queries[each.query_id].created_at for each in recent]
        return {
            "labels/rate_per_min": self._history.num_asked_since(now - 60.0, now),
            "labels/latency_p50": percentile(waits, 0.50),
            "labels/latency_p95": percentile(waits, 0.95),
            **self._shares(recent),
        }

    def _shares(self, recent: Sequence[Submitted]) -> dict[str, float]:
        """Return what recent labels say as they stand: revised ones anew, retracted ones not."""
        latest = (self._history.latest_of(each.seq) for each in recent)
        answers = [each for each in latest if isinstance(each, AnswerEvent)]
        if not answers:
            return {}
        outcomes = Counter(each.outcome for each in answers)
        labelers = Counter(each.labeler_id for each in answers)
        firsts = [
            self._board.assignments[each.assignment_id].shown_order[0] == each.choice
            for each in answers
            if each.choice is not None
        ]
        return {
            "labels/tie_rate": outcomes["tie"] / len(answers),
            "labels/skip_rate": outcomes["skip"] / len(answers),
            "labels/both_bad_rate": outcomes["both_bad"] / len(answers),
            "labels/first_position_rate": sum(firsts) / len(firsts) if firsts else math.nan,
            "labels/agreement_alpha": self._agreement(answers),
            "labelers/max_share": max(labelers.values()) / len(answers),
        }

    def _agreement(self, recent: Sequence[AnswerEvent]) -> float:
        units: dict[str, list[str]] = defaultdict(list)
        for event in recent:
            if event.outcome in ("choice", "tie"):
                best = stated_best(self._board.queries[event.query_id], event)
                units[event.query_id].append(str(best))
        return nominal_alpha(units.values())


def _defined(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if not math.isnan(value)}
