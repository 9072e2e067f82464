"""What is recorded comes back as it was, whichever version of Andon recorded it before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.recordings import streams
from cluster.recordings.records import (
    ActorLook,
    CandidateScore,
    ComparisonRecord,
    FirstSampleRecord,
    LoadRecord,
    RestartRecord,
    RewardRecord,
    RolloutRecord,
    Span,
)
from cluster.recordings.streams import Recordings, Stream, read
from protocol.errors import InputError
from protocol.labels import PolicyProvenance
from protocol.messages import ChatMessage

ROLLOUT = RolloutRecord(
    step=2,
    episodes=16,
    rollout_id="t-000001",
    purpose="train",
    prompt="user: Hi\u2028there",
    messages=(ChatMessage(role="user", content="Hi\u2028there"),),
    text="lovely ▌",
    num_kept=2,
    is_complete=True,
    score=0.5,
    reward_version=1,
    oldest_version=0,
    newest_version=1,
    actor_id="rollout-0",
    started_at=10.0,
    finished_at=11.0,
)
REWARD = RewardRecord(
    version=3,
    kind="refit",
    path="reward/v3",
    sha256="ab",
    ledger_seq=30,
    exclusions_sha256="cd",
    labeler_weights=(("ann", 0.75),),
    labels_used=27,
    fit_seconds=0.5,
    metrics={"reward_model/loss": 0.25},
    learned=((1, 8), (11, 11)),
    learned_scales=(0.5,),
    announced_at=19.0,
    served_at=20.0,
)
# Schema 1, key by key: what a line of each stream is. Whoever changes one makes a new version.
LINES: dict[str, tuple[Any, str]] = {
    "rollouts": (
        ROLLOUT,
        '{"schema": 1, "step": 2, "episodes": 16, "rollout_id": "t-000001", "purpose": "train", '
        '"prompt": "user: Hi\u2028there", '
        '"messages": [{"role": "user", "content": "Hi\u2028there"}], '
        '"text": "lovely ▌", "num_kept": 2, "is_complete": true, "score": 0.5, '
        '"reward_version": 1, "oldest_version": 0, "newest_version": 1, "actor_id": "rollout-0", '
        '"started_at": 10.0, "finished_at": 11.0}',
    ),
    "policies": (
        PolicyProvenance(
            version=4,
            episodes=32,
            reward_version=3,
            learned_through=30,
            restored_from=2,
            created_at=12.0,
            moved_kl=0.75,
        ),
        '{"schema": 1, "version": 4, "episodes": 32, "reward_version": 3, "learned_through": 30, '
        '"restored_from": 2, "created_at": 12.0, "moved_kl": 0.75}',
    ),
    "loads": (
        LoadRecord(version=4, loaded_at=13.0, probe_difference=1e-6),
        '{"schema": 1, "version": 4, "loaded_at": 13.0, "probe_difference": 1e-06}',
    ),
    "first_samples": (
        FirstSampleRecord(version=4, sampled_at=14.0),
        '{"schema": 1, "version": 4, "sampled_at": 14.0}',
    ),
    "rewards": (
        REWARD,
        '{"schema": 1, "version": 3, "kind": "refit", "path": "reward/v3", "sha256": "ab", '
        '"ledger_seq": 30, "exclusions_sha256": "cd", "labeler_weights": [["ann", 0.75]], '
        '"labels_used": 27, "fit_seconds": 0.5, "metrics": {"reward_model/loss": 0.25}, '
        '"learned": [[1, 8], [11, 11]], "learned_scales": [0.5], "announced_at": 19.0, '
        '"served_at": 20.0}',
    ),
    "comparisons": (
        ComparisonRecord(version=3, correlation=None, num_compared=0, verdict="pull", at=21.0),
        '{"schema": 1, "version": 3, "correlation": null, "num_compared": 0, "verdict": "pull", '
        '"at": 21.0}',
    ),
    "learner": (
        Span(doing="step", started_at=1.0, ended_at=2.5),
        '{"schema": 1, "doing": "step", "started_at": 1.0, "ended_at": 2.5}',
    ),
    "fits": (
        Span(doing="warm", started_at=1.0, ended_at=2.5),
        '{"schema": 1, "doing": "warm", "started_at": 1.0, "ended_at": 2.5}',
    ),
    "actors": (
        ActorLook(actor_id="rollout-1", at=3.0, uptime_s=2.0, busy_s=1.0, num_tokens=7),
        '{"schema": 1, "actor_id": "rollout-1", "at": 3.0, "uptime_s": 2.0, "busy_s": 1.0, '
        '"num_tokens": 7}',
    ),
    "candidate_scores": (
        CandidateScore(query_id="q0", candidate_id="c-1", reward_version=3, score=-0.25),
        '{"schema": 1, "query_id": "q0", "candidate_id": "c-1", "reward_version": 3, '
        '"score": -0.25}',
    ),
    "restarts": (
        RestartRecord(part="the reward trainer", cause="ActorDied: it died", restarted_at=3.0),
        '{"schema": 1, "part": "the reward trainer", "cause": "ActorDied: it died", '
        '"restarted_at": 3.0}',
    ),
}
ALL: dict[str, Stream[Any]] = {
    each.name: each for each in vars(streams).values() if isinstance(each, Stream)
}


def write_lines(folder: Path, name: str, *lines: str) -> None:
    (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_every_stream_is_in_the_table_above() -> None:
    assert ALL.keys() == LINES.keys()


@pytest.mark.parametrize("name", LINES)
def test_a_record_is_written_in_its_schema_and_read_back_whole(name: str, tmp_path: Path) -> None:
    record, line = LINES[name]
    recordings = Recordings(tmp_path)
    for _ in range(2):
        recordings.write(ALL[name], record)
    assert (tmp_path / f"{name}.jsonl").read_text(encoding="utf-8") == f"{line}\n{line}\n"
    assert read(tmp_path, ALL[name]) == (record, record)  # already while the run goes on
    recordings.close()


@pytest.mark.parametrize("name", LINES)
def test_lines_of_before_there_were_versions_are_read(name: str, tmp_path: Path) -> None:
    record, line = LINES[name]
    write_lines(tmp_path, name, line.replace('"schema": 1, ', ""))
    assert read(tmp_path, ALL[name]) == (record,)


def test_rollouts_of_before_there_were_chats_are_read(tmp_path: Path) -> None:
    line = json.loads(LINES["rollouts"][1])
    del line["schema"], line["messages"]
    write_lines(tmp_path, "rollouts", json.dumps(line))
    (record,) = read(tmp_path, streams.ROLLOUTS)
    assert (record.messages, record.rollout_id) == ((), "t-000001")


def test_rewards_of_before_they_said_their_scales_are_read(tmp_path: Path) -> None:
    line = json.loads(LINES["rewards"][1])
    del line["learned_scales"]
    write_lines(tmp_path, "rewards", json.dumps(line))
    (record,) = read(tmp_path, streams.REWARDS)
    assert (record.learned_scales, record.version) == ((), 3)


def test_policies_of_before_they_said_how_far_they_came_are_read(tmp_path: Path) -> None:
    line = json.loads(LINES["policies"][1])
    del line["moved_kl"]
    write_lines(tmp_path, "policies", json.dumps(line))
    (record,) = read(tmp_path, streams.POLICIES)
    assert (record.moved_kl, record.version) == (None, 4)


@pytest.mark.parametrize("name", LINES)
def test_a_newer_schema_is_refused_with_what_to_do(name: str, tmp_path: Path) -> None:
    line = LINES[name][1]
    write_lines(tmp_path, name, line, line.replace('"schema": 1', '"schema": 2'))
    with pytest.raises(InputError) as failure:
        read(tmp_path, ALL[name])
    said = str(failure.value)
    assert f"{name}.jsonl was recorded by a newer Andon (line 2: schema 2 of {name}" in said
    assert "reads up to 1" in said
    assert "versions.andon" in said


@pytest.mark.parametrize("version", ["true", '"1"', "1.0", "-1", "null"])
def test_a_schema_that_is_none_is_refused(version: str, tmp_path: Path) -> None:
    write_lines(tmp_path, "loads", LINES["loads"][1].replace('"schema": 1', f'"schema": {version}'))
    with pytest.raises(InputError, match=r"loads\.jsonl does not hold LoadRecords \(line 1: sch"):
        read(tmp_path, streams.LOADS)


def test_a_line_that_is_no_such_record_is_named(tmp_path: Path) -> None:
    write_lines(tmp_path, "loads", LINES["loads"][1], '{"schema": 1, "version": "new"}')
    with pytest.raises(InputError, match=r"LoadRecords \(line 2: version: .*valid integer"):
        read(tmp_path, streams.LOADS)


def test_a_half_written_last_line_is_left(tmp_path: Path) -> None:
    record, line = LINES["rollouts"]
    path = tmp_path / "rollouts.jsonl"
    path.write_text(f"{line}\n{line[:-20]}", encoding="utf-8")
    assert read(tmp_path, streams.ROLLOUTS) == (record,)


def test_what_a_line_holds_beyond_its_record_is_left(tmp_path: Path) -> None:
    record, line = LINES["fits"]
    write_lines(tmp_path, "fits", line.replace("}", ', "note": "in haste"}'))
    assert read(tmp_path, streams.FITS) == (record,)


def test_a_stream_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path, streams.REWARDS) == ()
