from __future__ import annotations

from label_queue.config import WarmConfig
from label_queue.ledger import as_comparison
from label_queue.retraining import RetrainingPlan, make_request
from label_queue.schedule import LabelSchedule
from protocol.labels import Comparison, FitKind
from tests.support.labels import make_event, make_query

ONLINE = LabelSchedule(total=40, initial=10, num_episodes=100, refits=3)  # at 10, 20, 30
WARM = WarmConfig(every_labels=4, every_s=60.0, replay=1.5)


def test_nothing_is_due_before_the_first_refit_point() -> None:
    plan = RetrainingPlan(ONLINE, WARM)
    assert plan.due(9, now=1e9) is None
    assert plan.next_check_s(9, now=0.0) is None
    assert plan.due(10, now=0.0) == "refit"


def test_warm_updates_come_between_refits_by_count_or_by_time() -> None:
    plan = RetrainingPlan(ONLINE, WARM)
    plan.learned("refit", labels=10, seq=12, now=0.0)
    assert plan.due(10, now=1e9) is None
    assert plan.due(13, now=59.0) is None
    assert plan.next_check_s(13, now=50.0) == 10.0
    assert plan.due(13, now=60.0) == "warm"
    assert plan.due(14, now=0.0) == "warm"
    plan.learned("warm", labels=14, seq=17, now=5.0)
    assert plan.learned_seq == 17
    assert plan.due(17, now=5.0) is None


def test_a_refit_wins_and_makes_up_for_points_passed_during_a_fit() -> None:
    plan = RetrainingPlan(ONLINE, WARM)
    plan.learned("refit", labels=10, seq=10, now=0.0)
    assert plan.due(31, now=0.0) == "refit"
    plan.learned("refit", labels=31, seq=31, now=0.0)
    assert plan.due(39, now=0.0) == "warm"


def test_a_warm_update_passes_no_refit_point() -> None:
    plan = RetrainingPlan(ONLINE, WARM)
    plan.learned("refit", labels=10, seq=10, now=0.0)
    plan.learned("warm", labels=20, seq=20, now=0.0)
    assert plan.due(20, now=0.0) == "refit"


def test_warm_updates_can_be_turned_off() -> None:
    plan = RetrainingPlan(ONLINE, WarmConfig(every_labels=0))
    plan.learned("refit", labels=10, seq=10, now=0.0)
    assert plan.due(19, now=1e9) is None


def test_offline_the_reward_is_frozen_after_its_one_fit() -> None:
    offline = LabelSchedule(total=40, initial=40, num_episodes=100, refits=3)
    plan = RetrainingPlan(offline, WARM)
    assert plan.due(39, now=0.0) is None
    plan.learned("refit", labels=40, seq=40, now=0.0)
    assert plan.due(45, now=1e9) is None


def _dataset(count: int) -> list[Comparison]:
    events = [(make_query(i), make_event(make_query(i), seq=i + 1)) for i in range(count)]
    return [c for query, event in events if (c := as_comparison(query, event)) is not None]


def _request_seqs(kind: FitKind, seed: int = 0) -> list[int]:
    request = make_request(
        kind,
        _dataset(20),
        seq=20,
        learned_seq=16,
        exclusions_sha256="",
        replay=1.5,
        seed=seed,
    )
    assert request.labels_used == 20
    assert request.labeler_weights == (("ann", 1.0),)
    return [comparison.seq for comparison in request.comparisons]


def test_a_refit_learns_all_labels() -> None:
    assert _request_seqs("refit") == list(range(1, 21))


def test_a_warm_update_learns_the_new_and_replays_some_of_the_old() -> None:
    seqs = _request_seqs("warm")
    assert seqs[-4:] == [17, 18, 19, 20]
    assert len(seqs) == 4 + 6
    assert len(set(seqs)) == len(seqs)
    assert seqs == sorted(seqs)


def test_replay_depends_on_seed_and_sequence_alone() -> None:
    assert _request_seqs("warm") == _request_seqs("warm")
    assert _request_seqs("warm") != _request_seqs("warm", seed=1)
