"""How online a run is, against values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from label_queue.figures.online import Online, shown_version
from label_queue.folds.lineage import left_behind, newest_until
from label_queue.folds.view import LearnedLabels
from label_queue.ledger.records import Record
from label_queue.oversight.trace import Trace
from label_queue.schedule import LabelSchedule
from label_queue.state import LabelState
from protocol.labels import ComparisonQuery, PolicyProvenance
from tests.support.hand_made_run import COVERAGE, FIRST_SAMPLES, LATENCIES, NUM_WAITING, fill
from tests.support.labels import (
    ManualClock,
    make_assignment,
    make_config,
    make_event,
    make_provenance,
    make_query,
    make_reward,
)
from tests.support.memory_ledger import MemoryLedger

CONFIG = make_config()


def new_state() -> LabelState:
    schedule = LabelSchedule.of(CONFIG, num_episodes=100, mode="online")
    return LabelState(CONFIG, schedule, ManualClock())


def read(ledger: MemoryLedger) -> LabelState:
    """The label side as the report reads it: all at once, at the end."""
    state = new_state()
    state.load(ledger)
    for version, at in FIRST_SAMPLES.items():
        state.figures.first_sampled(version, at)
    return state


def shares(online: Online) -> dict[str, float]:
    return {each.query_id: each.share for each in online.coverage}


def seconds(online: Online) -> dict[int, float]:
    return {each.seq: each.seconds for each in online.latencies}


@pytest.mark.parametrize("says_where", [True, False])
def test_held_skipped_excluded_capped_gold_and_repeated_labels_are_not_learned(
    says_where: bool,
) -> None:
    ledger = MemoryLedger()
    fill(ledger, says_where=says_where)
    online = read(ledger).figures.online()
    assert shares(online) == pytest.approx(COVERAGE)
    assert seconds(online) == LATENCIES
    assert online.num_waiting == NUM_WAITING


def looked_at(ledger: MemoryLedger) -> dict[str, float]:
    """The metrics of a state that has caught up with its ledger."""
    figures = read(ledger).figures
    figures.catch_up()
    return figures.online_stats()


def test_looking_on_while_it_happens_gives_what_looking_back_gives() -> None:
    ledger = MemoryLedger()
    live = new_state()
    told: set[int] = set()
    for record in fill(ledger):
        live.apply(record)
        for version in live.policies.keys() - told:
            told.add(version)
            live.figures.first_sampled(version, FIRST_SAMPLES[version])
        live.figures.online()
    assert live.figures.online() == read(ledger).figures.online()
    assert live.figures.online_stats() == looked_at(ledger)


def test_looking_on_and_looking_back_are_one_where_the_clock_was_set_back() -> None:
    ledger, live = MemoryLedger(), new_state()

    def write(*records: Record) -> None:
        for record in ledger.write(list(records)):
            live.apply(record)
        live.figures.online()

    first = make_query(0)
    write(make_provenance(0), first, make_assignment(first), make_event(first))
    write(replace(make_reward(1, ledger_seq=1, learned=[1]), announced_at=1_000.0))
    write(make_query(1, ledger_seq=1, created_at=2_000.0))
    write(make_query(2, ledger_seq=1, created_at=1_500.0))
    online = read(ledger).figures.online()
    assert [each.query_id for each in online.coverage] == ["q1", "q2"]
    assert live.figures.online() == online


def test_the_figures_of_the_run() -> None:
    ledger = MemoryLedger()
    fill(ledger)
    assert looked_at(ledger) == pytest.approx(
        {
            "policy/winrate_recent": 1.0,
            "policy/winrate_vs_reference": 1.0,  # cid, who is excluded, preferred ρ
            "online/coverage": 2 / 3,
            "online/label_to_policy_latency_p50": 120.0,  # of 70, 110, 130, 180
            "online/label_to_policy_latency_p95": 130.0 + 0.85 * 50.0,
        }
    )


def test_a_trace_follows_the_same_lists() -> None:
    ledger = MemoryLedger()
    fill(ledger)
    trace = Trace(read(ledger).view(), CONFIG.quality)
    touched = {seq: trace.of_event(seq).reward_versions for seq in (1, 3, 4, 5, 8, 9)}
    assert touched == {1: (1, 2), 3: (1, 2), 4: (), 5: (2,), 8: (), 9: (2,)}
    assert (trace.of_labeler("cid").num_labels, trace.of_labeler("cid").num_learned) == (2, 0)
    assert set(trace.of_policy(1).label_ids) == {"q0/ann", "q2/ann"}


def test_a_later_sample_changes_nothing_and_an_earlier_one_does() -> None:
    ledger = MemoryLedger()
    fill(ledger)
    state = read(ledger)
    state.figures.first_sampled(1, 400.0)
    assert seconds(state.figures.online()) == LATENCIES
    state.figures.first_sampled(1, 220.0)
    assert seconds(state.figures.online()) == {**LATENCIES, 1: 120.0, 3: 100.0}


def test_what_a_rollback_leaves_behind_did_not_arrive_with_what_it_made() -> None:
    ledger = MemoryLedger()
    fill(ledger)
    ledger.write([make_provenance(4, 1, restored_from=1)])
    state = new_state()
    state.load(ledger)
    state.figures.first_sampled(4, 500.0)
    assert seconds(state.figures.online()) == {1: 400.0, 3: 380.0}
    assert state.figures.online().num_waiting == 3  # 5, 9 and 19


def test_what_rollbacks_leave_behind_is_told_as_versions_come() -> None:
    state, policies = new_state(), list[PolicyProvenance]()
    for version, restored_from in enumerate((None, None, None, 1, None, 4, 2, None)):
        made = make_provenance(version, restored_from=restored_from)
        policies.append(made)
        state.apply(made)
        assert state.figures.left_behind() == left_behind(policies)
    assert state.figures.left_behind() == {3, 4, 5}


def test_a_revised_label_has_the_latency_of_what_was_learned_first() -> None:
    ledger = MemoryLedger()
    fill(ledger)
    query = ledger.read(ComparisonQuery)[0]
    ledger.write([make_event(query, "ann", revision=1, received_at=500.0)])
    online = read(ledger).figures.online()
    assert seconds(online) == LATENCIES
    assert online.num_waiting == NUM_WAITING


def test_before_the_first_reward_there_is_no_figure() -> None:
    state = new_state()
    state.apply(make_query(0))
    state.figures.first_sampled(0, 50.0)
    online = state.figures.online()
    assert (online.coverage, online.latencies, online.num_waiting) == ((), (), 0)
    assert state.figures.online_stats() == {}


def test_the_version_a_query_asks_about_is_that_of_its_oldest_response() -> None:
    assert shown_version(make_query(versions=(3, 2, 4, 4))) == 2
    assert shown_version(make_query(versions=(0, 3, 0, 2), purpose="validation")) == 2
    # Policy versions are mixed while one takes over from ρ.
    assert shown_version(make_query(versions=(0, 0, 0, 2), purpose="validation")) == 0


def test_where_a_version_is_not_known_the_one_before_stands_for_it() -> None:
    assert newest_until([0, 1, 3], 2) == 1
    assert newest_until([3], 2) == 0


def test_where_a_ledger_does_not_say_the_lists_they_are_worked_out() -> None:
    ledger = MemoryLedger()
    fill(ledger)
    view = read(ledger).view()
    unsaid = tuple(replace(reward, learned=None) for reward in view.rewards)
    learned = LearnedLabels(CONFIG.quality).seqs_by_reward(replace(view, rewards=unsaid))
    # Nobody is capped with fewer than five labelers: seq 4 is found where the fit had it, too.
    assert learned == {1: {1, 3, 4}, 2: {1, 3, 4, 5, 9}}
