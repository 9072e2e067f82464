"""Cord and lineage against the plainest statement of what they mean."""

from __future__ import annotations

from functools import reduce
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from label_queue.folds.cord import RELEASED, after
from label_queue.folds.lineage import Memories, ancestry, policies_touched, rewards_behind
from protocol.cord import CordEvent, Pulled, ReasonReleased, Released, RollbackOrdered, RolledBack
from protocol.fits import RewardVersion
from protocol.labels import PolicyProvenance
from tests.support.labels import make_cord_event, make_provenance, make_reward

VERSIONS = st.integers(0, 3)
KINDS: st.SearchStrategy[tuple[Any, dict[str, Any]]] = st.one_of(
    st.builds(lambda version: (Pulled, {"offered_rollback": version}), st.none() | VERSIONS),
    st.just((Released, {})),
    st.builds(lambda number: (ReasonReleased, {"pull_id": f"cord:{number}"}), st.integers(0, 11)),
    st.builds(lambda version: (RollbackOrdered, {"to_version": version}), VERSIONS),
    st.builds(lambda version: (RolledBack, {"restored_version": version}), VERSIONS),
)
CORD_EVENTS = st.lists(KINDS, max_size=12).map(
    lambda drawn: [
        make_cord_event(kind, i, actor=f"person-{i}", **own) for i, (kind, own) in enumerate(drawn)
    ]
)
LINES = st.lists(st.tuples(st.integers(1, 4), st.none() | st.integers(0, 8)), max_size=8).map(
    lambda drawn: [
        make_provenance(0),
        *(
            make_provenance(version, reward, restored_from=None if back is None else back % version)
            for version, (reward, back) in enumerate(drawn, start=1)
        ),
    ]
)
SEQS = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=6).map(
    lambda drawn: [
        make_reward(version, ledger_seq=seq, kind="warm" if is_warm and version > 1 else "refit")
        for version, (seq, is_warm) in enumerate(drawn, start=1)
    ]
)


@given(CORD_EVENTS)
def test_whoever_pulled_first_since_the_last_release_is_named(events: list[CordEvent]) -> None:
    state = reduce(after, events, RELEASED)
    still_open: dict[str, CordEvent] = {}
    is_rolling_back = False
    for event in events:
        if isinstance(event, Pulled) or (isinstance(event, RollbackOrdered) and not still_open):
            still_open[event.event_id] = event
        if isinstance(event, Released):
            still_open.clear()
        elif isinstance(event, ReasonReleased) and not is_rolling_back:
            still_open.pop(event.pull_id, None)
        if isinstance(event, RollbackOrdered):
            is_rolling_back = True
        elif isinstance(event, Released | RolledBack):
            is_rolling_back = False
    pulls = list(still_open.values())
    assert [each.pull_id for each in state.reasons] == list(still_open)
    assert state.is_pulled == bool(pulls)
    if pulls:
        assert (state.pulled_by, state.pulled_at) == (pulls[0].actor, pulls[0].at)
    else:
        assert (state.rollback_to, state.pulled_by) == (None, "")


@given(CORD_EVENTS)
def test_a_rollback_is_only_ever_under_way_while_the_cord_is_pulled(
    events: list[CordEvent],
) -> None:
    state = reduce(after, events, RELEASED)
    assert state.is_pulled or state.rollback_to is None


@given(LINES, st.frozensets(st.integers(1, 4)))
def test_a_policy_is_touched_if_its_line_was_trained_on_a_touched_reward(
    policies: list[PolicyProvenance], rewards: frozenset[int]
) -> None:
    touched = policies_touched(policies, rewards)
    for policy in policies:
        behind = rewards_behind(ancestry(policies, policy.version))
        assert (policy.version in touched) == bool(rewards & set(behind))


@given(LINES)
def test_every_line_ends_at_rho(policies: list[PolicyProvenance]) -> None:
    for policy in policies:
        line = [each.version for each in ancestry(policies, policy.version)]
        assert line[-1] == 0
        assert line == sorted(line, reverse=True)


@given(SEQS, st.lists(st.frozensets(st.sampled_from("abcd")), min_size=7, max_size=7))
def test_a_reward_learned_what_any_fit_since_its_refit_was_given(
    rewards: list[RewardVersion], training_sets: list[frozenset[str]]
) -> None:
    lists = {reward.version: training_sets[reward.ledger_seq] for reward in rewards}
    learned = Memories(rewards, lists.__getitem__)
    for i, reward in enumerate(rewards):
        start = max(j for j in range(i + 1) if rewards[j].kind == "refit")
        fits = rewards[start : i + 1]
        assert learned[reward.version] == frozenset().union(
            *(training_sets[fit.ledger_seq] for fit in fits)
        )
