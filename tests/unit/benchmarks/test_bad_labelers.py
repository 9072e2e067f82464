"""The experiment with bad labelers: a short session, and its tables worked out by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.bad_labelers.detection import Detection, detections, later_gold, read_view
from benchmarks.bad_labelers.fits import TREATMENTS, fit_requests
from benchmarks.bad_labelers.labelers import kind_of, profiles
from benchmarks.bad_labelers.session import NUM_GOLD, Plan, hold_session, quality
from benchmarks.bad_labelers.tables import accuracy_table, trust_table
from label_queue.quality.standings import standings


def run(none: float, both: float, truth: float) -> dict[str, float]:
    return {**dict.fromkeys(TREATMENTS, both), "none": none, "both": both, "truth": truth}


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([run(0.6, 0.7, 0.8), run(0.6, 0.8, 0.8)], "median 75% of 2."),
        # Of a seed in which the truth gained nothing there is no share.
        ([run(0.6, 0.7, 0.8), run(0.7, 0.7, 0.7)], "median 50% of 1, 1 without a loss."),
        ([run(0.7, 0.7, 0.7)], "nothing was lost in any, 1 without a loss."),
    ],
)
def test_what_both_recover_is_told_of_seeds_that_lost_something(
    runs: list[dict[str, float]], words: str
) -> None:
    assert accuracy_table(runs).endswith(f"Recovered by both, seed by seed: {words}")


def test_who_is_found_out_or_trusted_less_is_told_by_kind() -> None:
    found = [
        Detection(name=name, labels=9, suspended_at=at, alarm="", flagged_at=at, flags=())
        for name, at in (("careless-1", None), ("careless-2", 7), ("good-1", None))
    ]
    weighed = {"careless-1": 0.8, "careless-2": 0.85, "good-1": 0.95}
    less = {**weighed, "careless-1": 0.5}
    gold = [dict.fromkeys(weighed, 0.05), dict.fromkeys(weighed, 0.15)]
    lines = trust_table([weighed, less], [found, found], gold).splitlines()
    assert lines[2] == "| careless | 4 | 0.50 | 0.82 | 0.85 | 75% | 10.0% |"
    assert lines[3] == "| good | 2 | 0.95 | 0.95 | 0.95 | 0% | 10.0% |"


def words(text: str, **_: object) -> dict[str, list[int]]:
    """A tokenizer, as far as it is asked."""
    return {"input_ids": [sum(word.encode()) for word in text.split()]}


async def test_in_a_session_that_stops_nobody_everybody_is_judged_as_the_product_judges(
    tmp_path: Path,
) -> None:
    """Who is given which gold depends on who asks first: of so few tasks it does not find all."""
    plan = Plan(
        seed=3,
        num_labelers=10,
        labels=40,
        num_candidates=2,
        gold="clear",
        honest_from=None,
        stops_the_bad=False,
    )
    await hold_session(tmp_path, plan, words)
    view = read_view(tmp_path / "ledger.sqlite")
    config = quality(tmp_path / "gold.jsonl", stops_the_bad=True)
    found = {each.name: each for each in detections(view, config)}
    assert {each.labels for each in found.values()} == {40}
    assert set(found) == set(profiles(3, 10))
    flagged = [name for name, each in found.items() if each.flagged_at is not None]
    judged = standings(view.queries, view.events, config)
    assert flagged == [name for name, each in judged.items() if each.state == "suspended"]
    right, wrong = Counter[str](), Counter[str]()
    for name, each in judged.items():
        right[kind_of(name)] += each.gold_right
        wrong[kind_of(name)] += each.gold_wrong
    blind = right["random"] + right["first-shown"], wrong["random"] + wrong["first-shown"]
    assert right["good"] / (right["good"] + wrong["good"]) > blind[0] / sum(blind)
    shares = later_gold(view, 10)
    golds = sum(query.purpose == "gold" for query in view.queries.values()) - NUM_GOLD
    assert 0 < sum(shares.values()) * 30 < golds
    requests = fit_requests(view, list(found.values()), config)
    learned = {
        treatment: {each.labeler_id for each in request.comparisons}
        for treatment, request in requests.items()
    }
    assert learned["none"] == set(found)
    assert learned["exclusion"] == set(found) - set(flagged)
    assert {kind_of(name) for name in learned["truth"]} == {"good", "adversary"}


def test_of_fifty_half_are_good_and_each_has_a_seed_of_their_own() -> None:
    everybody = profiles(2, 50, honest_from=2.0)
    kinds = Counter(map(kind_of, everybody))
    assert kinds == {"random": 10, "adversary": 5, "first-shown": 5, "careless": 5, "good": 25}
    assert len({profile.seed for profile in everybody.values()}) == 50
    assert {profile.honest_from for profile in everybody.values()} == {2.0}
