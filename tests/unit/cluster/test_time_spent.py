"""Where the time goes: one made-up run, worked out by hand, live and in the report.

   0 … 60   the learner waits for the first labels
  60 … 70   a fit; the learner waits for rollouts
  70 … 78   the first step
  78 … 80   waits for scores
  80 … 90   a step
  90 … 110  stands at the pulled cord
 110 … 116  waits for labels
 116 … 126  a step
 126 … 130  waits for rollouts

From 70 to 130 there are 60 s, less 20 at the cord: 40. Steps took 8 + 10 + 10 = 28 of them, so the
learner is 70 % busy; it waited 15 % for labelers, 10 % for rollouts and 5 % for scores.

Actors are looked at at 66, 92, 116 and 130, and of the 64 s of that they were at work for 44: the
cord takes 2 of 26 s, 18 of 24 and none of 14. They were busy 10 s, 10 s and 12 s; spread evenly,
10 · 24/26 + 10 · 6/24 + 12 s of that do not lie at the cord.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.config_file import save_config
from cluster.loops.activity import activity
from cluster.loops.journal import Journal
from cluster.loops.time_spent import ActorsTime, LearnerTime, busy_share
from cluster.metrics.hub import MetricsHub
from cluster.metrics.jsonl_sink import JsonlSink
from cluster.recordings.records import ActorLook, Span
from cluster.recordings.streams import Recordings
from cluster.report.picture_time import draw_time, time_lanes
from cluster.report.records import RunRecords, read_run
from cluster.report.summary import summarize
from cluster.run_folder import RunFolder
from label_queue.ledger.sql import SqlLedger
from protocol.cord import CordState, Pulled, Released
from protocol.messages import StepReport
from tests.support.journal_desk import make_batch, make_reward, make_stats
from tests.support.labels import make_cord_event
from tests.support.messages import make_policy
from tests.support.metric_proofs import proves
from tests.support.present import present
from tests.support.synthetic_run import synthetic_config

BEGAN = 1_000.0
ACTORS_BUSY = (10 * 24 / 26 + 10 * 6 / 24 + 12) / 44
"""Of the actors' running time."""


class Played:
    """Plays the run above through a journal whose clock is moved by hand."""

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder.create(path)
        self.now = BEGAN + 5.0  # the journal is made when the run has begun
        self.recordings = Recordings(self.folder.recordings)
        self.hub = MetricsHub([JsonlSink(self.folder.metrics)], lambda: self.now - BEGAN)
        self.journal = Journal(self.recordings, self.hub, now=lambda: self.now, began_at=BEGAN)
        self.words: list[str] = []
        self.episodes = 0

    def until(self, second: float) -> None:
        self.now = BEGAN + second

    def look(self, *actors: tuple[float, float]) -> None:
        """Look at the actors: each says its busy seconds and tokens; they started 10 s late."""
        self.journal.actors_stood(
            [
                make_stats(self.now - BEGAN - 10, busy_s, round(tokens), f"rollout-{number}")
                for number, (busy_s, tokens) in enumerate(actors)
            ]
        )
        self.words.append(activity(self.journal.loop_state()))

    def step(self, until: float) -> None:
        batch = make_batch(self.episodes // 8, 1)
        self.journal.step_begun(batch, 0)
        with self.journal.learning():
            self.until(until)
        self.episodes += 8
        report = StepReport(policy=make_policy(self.episodes // 8, self.episodes), metrics={})
        self.journal.step_done(batch, report, 0)

    def play(self) -> None:
        journal = self.journal
        with journal.waiting("labels"):
            self.until(20)
            self.look((5.0, 0), (0.0, 0))
            self.until(60)
        with journal.fitting("refit"), journal.waiting("rollouts"):
            self.until(66)
            self.look((30.0, 1_000), (10.0, 500))  # the last before the first step
            self.until(70)
        journal.reward_served(make_reward(1))
        self.step(until=78)
        with journal.waiting("scores"):
            self.until(80)
        self.step(until=90)
        with journal.waiting("cord"):
            self.until(92)
            journal.cord_stood(CordState(is_pulled=True, pulled_by="ann", pulled_at=BEGAN + 89))
            self.look((40.0, 1_500), (20.0, 900))
            self.until(110)
        journal.cord_stood(CordState(is_pulled=False))
        with journal.waiting("labels"):
            self.until(116)
            self.look((50.0, 2_000), (30.0, 1_500))
        with journal.waiting("cord"):
            pass  # it hangs free
        self.step(until=126)
        with journal.waiting("rollouts"):
            with journal.timing("weight_sync"):
                self.until(129.5)
            self.until(130)
            self.look((62.0, 2_600), (42.0, 2_100))


def write_cord(path: Path) -> None:
    """Write down who pulled the cord and let it go, as the label queue does meanwhile."""
    ledger = SqlLedger.open(path, "run")
    ledger.write([replace(make_cord_event(Pulled, 0), at=BEGAN + 89)])
    ledger.write([replace(make_cord_event(Released, 1), at=BEGAN + 110)])
    ledger.close()


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Played]:
    made = Played(tmp_path / "run")
    save_config(synthetic_config(), made.folder.config)
    made.folder.update_state(run_id="run", state="running", started_at=BEGAN)
    write_cord(made.folder.ledger)
    made.play()
    yield made
    made.recordings.close()
    made.hub.close()


@pytest.fixture
def run(played: Played) -> RunRecords:
    return read_run(played.folder.path)


@proves(
    "throughput/episodes_per_s",
    "throughput/learner_idle",
    "throughput/actor_idle",
    "throughput/weight_sync_s",
    "throughput/generation_s",
    "throughput/training_s",
    "throughput/scoring_s",
    "cord/stopped_s",
)
def test_the_live_figures_are_those_worked_out_by_hand(run: RunRecords) -> None:
    last = {name: value for row in run.rows for name, value in row.items()}
    # Of the 64 s since the look before the first step the actors were busy 32 each, cord and all.
    assert {name: last[name] for name in last if name.startswith("throughput/")} == {
        "throughput/episodes_per_s": pytest.approx(24 / 40),
        "throughput/learner_idle": pytest.approx(0.3),
        "throughput/actor_idle": pytest.approx(1 - ACTORS_BUSY),
        "throughput/weight_sync_s": pytest.approx(3.5),
        "throughput/generation_s": pytest.approx(64.0),
        "throughput/training_s": pytest.approx(28.0),
        "throughput/scoring_s": pytest.approx(2.0),
    }
    assert [row["cord/stopped_s"] for row in run.rows if "cord/is_pulled" in row] == [
        pytest.approx(2.0),  # while it still stands there
        pytest.approx(20.0),
    ]


def test_every_row_of_a_run_counts_time_from_where_the_run_began(run: RunRecords) -> None:
    times = [row["time/wall_s"] for row in run.rows]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(130.0)


def test_the_picture_says_what_the_figures_say(run: RunRecords, tmp_path: Path) -> None:
    lanes = {lane.name: lane for lane in time_lanes(run)}
    assert list(lanes) == ["rollout-0", "rollout-1", "learner", "reward trainer", "cord pulled"]
    summary: dict[str, Any] = summarize(run)
    assert lanes["learner"].busy == pytest.approx(1.0 - summary["learner_idle"])
    assert lanes["learner"].busy == pytest.approx(0.7)
    assert lanes["learner"].note == "waits for: 15% labelers, 10% rollouts, 5% scores"
    busy = [present(lanes[f"rollout-{number}"].busy) for number in (0, 1)]
    assert busy == [pytest.approx(ACTORS_BUSY), pytest.approx(ACTORS_BUSY)]
    assert sum(busy) / 2 == pytest.approx(1.0 - summary["actor_idle"])
    assert lanes["reward trainer"].busy == 0.0  # it has fitted before the first step alone
    steps = [(70, 78), (80, 90), (116, 126)]
    assert lanes["learner"].slices == tuple((BEGAN + a, BEGAN + b, 1.0) for a, b in steps)
    # Of 46, then 26, 24 and 14 s: what is drawn covers just what the actor was busy.
    drawn = [busy * (stop - start) for start, stop, busy in lanes["rollout-0"].slices]
    assert drawn == [pytest.approx(seconds) for seconds in (5.0, 25.0, 10.0, 10.0, 12.0)]
    draw_time(run, tmp_path / "time.png")
    assert (tmp_path / "time.png").stat().st_size > 10_000


@proves("rollout/tokens_per_s")
def test_tokens_are_counted_over_all_actors_and_all_their_time(played: Played) -> None:
    played.step(until=140)
    last = read_run(played.folder.path).rows[-1]
    assert last["rollout/tokens_per_s"] == pytest.approx((1_600 + 1_600) / 64)


def test_what_is_recorded_after_the_last_look_is_in_no_figure(played: Played) -> None:
    played.step(until=150)
    learner = next(lane for lane in time_lanes(read_run(played.folder.path)) if lane.waits)
    assert learner.busy == pytest.approx(0.7)


def test_a_report_asked_for_while_the_line_stands_leaves_out_that_time(played: Played) -> None:
    with played.journal.waiting("cord"):
        played.until(600)
        played.journal.cord_stood(CordState(is_pulled=True, pulled_at=BEGAN + 130))
        played.look((62.0, 2_600), (42.0, 2_100))
        run = read_run(played.folder.path)
        summary = summarize(run)
        assert summary["learner_idle"] == pytest.approx(0.3)
        assert summary["actor_idle"] == pytest.approx(1 - ACTORS_BUSY)
        actor, _, learner, *_ = time_lanes(run)
        assert learner.busy == pytest.approx(0.7)
        assert actor.busy == pytest.approx(ACTORS_BUSY)


def test_the_words_follow_the_run(played: Played) -> None:
    assert played.words == [
        "collecting first labels",
        "fitting the first reward",
        "stopped by the cord",
        "waiting for labels",
        "waiting for rollouts",
    ]


def test_a_cord_pulled_before_the_first_step_takes_nothing_from_what_follows() -> None:
    time = LearnerTime()
    time.begin("passing", 0.0)
    time.stands_at_cord()
    assert time.stopped_s(until=30.0) == 30.0
    time.end(50.0)
    time.begin("step", 50.0)
    time.end(54.0)
    assert time.stopped_s(until=58.0) == 50.0
    assert (time.running_s(58.0), time.busy(58.0)) == (8.0, 0.5)


def test_a_rollback_is_work_but_no_training() -> None:
    spans = [
        Span(doing="step", started_at=0.0, ended_at=4.0),
        Span(doing="rollback", started_at=4.0, ended_at=6.0),
        Span(doing="labels", started_at=6.0, ended_at=8.0),
    ]
    time = LearnerTime.replayed(spans, until=8.0)
    assert time.busy(8.0) == 0.75
    assert time.seconds("step", until=8.0) == 4.0


LEARNING = LearnerTime.replayed([Span(doing="step", started_at=0.0, ended_at=1.0)], until=1.0)
"""Of a learner whose first step began at 0, and who never stood at the cord."""


def test_time_at_the_cord_is_no_idleness_of_an_actor() -> None:
    """At the cord from 4 to 6 and 8 to 12; the actor works for as long as the learner does."""
    learner, time = LearnerTime(), ActorsTime()
    busy_s = 0.0
    for doing, start, stop in (("step", 0, 4), ("cord", 4, 6), ("scores", 6, 8), ("cord", 8, 12)):
        learner.begin(doing, start)  # type: ignore[arg-type]
        for second in range(start, stop):
            busy_s += doing == "step"
            look = ActorLook(
                actor_id="a", at=second + 1, uptime_s=second + 2, busy_s=busy_s, num_tokens=0
            )
            time.look(look, learner)
        learner.end(stop)
    total = time.totals["a"]
    # The first second was before the first look. Three of five were busy, and 11 in all passed.
    assert (total.uptime_s, total.running_s) == (11.0, 5.0)
    assert total.busy_s == 3.0
    assert time.busy == pytest.approx(3 / 5)
    windows = ((0, 4), (5, 9), (11, 20), (0, 12))
    assert [learner.standing_s(*window) for window in windows] == [0.0, 2.0, 1.0, 6.0]


def test_an_actor_that_was_started_anew_loses_nothing() -> None:
    time = ActorsTime()
    look = ActorLook(actor_id="a", at=0.0, uptime_s=100.0, busy_s=50.0, num_tokens=400)
    time.look(look, LEARNING)
    time.look(replace(look, at=10.0, uptime_s=110.0, busy_s=60.0), LEARNING)
    fresh = ActorLook(actor_id="a", at=40.0, uptime_s=10.0, busy_s=0.0, num_tokens=40)
    time.look(fresh, LEARNING)
    assert (time.busy_s, time.busy, time.tokens_per_s) == (10.0, 0.5, 2.0)


def test_one_that_did_more_by_its_first_look_than_the_one_before_it_ever_did_is_another() -> None:
    time = ActorsTime()
    look = ActorLook(actor_id="a", at=100.0, uptime_s=5.0, busy_s=0.0, num_tokens=0)
    time.look(look, LEARNING)
    after = ActorLook(actor_id="a", at=200.0, uptime_s=60.0, busy_s=6.0, num_tokens=90)
    assert time.look(after, LEARNING).uptime_s == 60.0
    # An answer that was taken note of late is not that of another process.
    late = replace(after, at=230.0, uptime_s=70.0, busy_s=7.0, num_tokens=100)
    assert time.look(late, LEARNING).uptime_s == 10.0


def test_an_actor_that_forgot_what_it_did_is_another_however_long_it_is_up() -> None:
    time = ActorsTime()
    look = ActorLook(actor_id="a", at=10.0, uptime_s=8.0, busy_s=5.0, num_tokens=500)
    time.look(look, LEARNING)
    fresh = ActorLook(actor_id="a", at=35.0, uptime_s=9.0, busy_s=1.0, num_tokens=20)
    assert time.look(fresh, LEARNING).num_tokens == 20


def test_a_share_of_a_window_counts_what_lies_in_it() -> None:
    spans = [
        Span(doing="refit", started_at=0.0, ended_at=12.0),
        Span(doing="warm", started_at=15.0, ended_at=16.0),
        Span(doing="warm", started_at=19.0, ended_at=30.0),
    ]
    assert busy_share(spans, since=10.0, until=20.0) == pytest.approx(0.4)
    beside = Span(doing="refit", started_at=14.0, ended_at=17.0)
    assert busy_share([*spans, beside], since=10.0, until=20.0) == pytest.approx(0.6)
