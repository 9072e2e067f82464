"""What a state's folds hold, to compare two states by."""

from __future__ import annotations

from array import array
from collections import deque
from typing import Any

from label_queue.figures.known_order import known_pairs
from label_queue.kept import KEPT
from label_queue.state import LabelState

NOT_COMPARED = ("_overlap", "_num_queries_seen", "_leases")
"""Of the folds' kept attributes: whose content depends on when somebody looked; leases are compared
without those who have none."""
NOW = 1e9
"""Later than any lease."""


def held_by(state: LabelState) -> dict[str, Any]:
    """All that is kept of the folds, the open queries and leases, and what they answer."""
    state.figures.catch_up()
    state.figures.catch_up()
    figures = state.figures.online_stats()
    counting = state.view().counting(state.history.table())
    board = state.board
    return {
        **{name: _plain(fold) for name, fold in state.folds().items()},
        "queries": list(board.queries.items()),
        "assignments": list(board.assignments.items()),
        "open": [_entry(entry) for entry in (*board._open.values(), *board._on_top.values())],
        "judged": [_entry(entry) for entry in board.judged._entries.values() if entry.holders],
        "open_slots": board.open_slots,
        "leases": {name: list(own.items()) for name, own in board._leases.items() if own},
        "labels": list(state.tallies.labels()),
        "tallies_read": state.tallies.snapshot(),
        "agreed": state.tallies.agreed(0, 100, lambda _: True),
        "disputed": state.tallies.disputed(100),
        "golds": [(each.template, each.right, each.wrong) for each in state.gold.newest_first()],
        "standings_read": state.history.standings.items(),
        "training": sorted(state.history.training_rows()),
        "online_read": state.figures.online(),
        "figures": figures,
        "votes": state.figures.validation_votes(),
        "known": known_pairs(state.board.queries, counting, most=10, least_votes=2),
        "stats": state.stats(NOW, 10),
        "table": _plain(state.history.columns),
        "lease_s": state.terms.duration_s,
        "policies": state.policies,
        "rewards": state.rewards,
        "cord": state.cord,
    }


LOST = ("open", "judged", "open_slots", "leases", "stats")
"""Of `held_by`, what a crash loses, or what time alone ends: leases' renewals and what was let go
of, queries that expired, figures of the moment."""
LOST_OF_BOARD = ("_open", "_on_top", "_leases", "open_slots")
MOVING = "online/query_policy_lag"


def lasting(state: LabelState) -> dict[str, Any]:
    """What a state's folds hold that is the same after a restart."""
    held = {name: each for name, each in held_by(state).items() if name not in LOST}
    board = {name: each for name, each in held["board"].items() if name not in LOST_OF_BOARD}
    figures = {name: each for name, each in held["figures"].items() if name != MOVING}
    return {**held, "board": {**board, "judged": board["judged"]["judges"]}, "figures": figures}


def _entry(entry: Any) -> tuple[Any, ...]:
    leases = list(entry.leases.items())
    return entry.query, entry.wanted, entry.answered_by, entry.holders, leases


def _plain(value: Any) -> Any:
    """A value whose folds and records of folds are mappings, by the names of what they keep."""
    if type(value) in KEPT:
        names = [name for name in KEPT[type(value)] if name not in NOT_COMPARED]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | deque | array):
        return [_plain(each) for each in value]
    return value
