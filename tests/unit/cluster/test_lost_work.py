"""What belongs to steps that are taken again is set aside, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cluster.run_folder import RunFolder
from cluster.starting.lost_work import set_aside
from protocol.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path / "run-1")
    write(
        folder.metrics,
        {"policy/step": 9},
        {"policy/step": 10},
        {"labels/seq": 70},
        {"policy/step": 11},
    )
    write(
        folder.recordings / "rollouts.jsonl", {"step": 0}, {"step": 10}, {"step": 11}, {"step": 11}
    )
    write(folder.recordings / "policies.jsonl", {"version": 10}, {"version": 11})
    write(folder.recordings / "rewards.jsonl", {"version": 20})
    write(folder.recordings / "learner.jsonl", {"doing": "step"})
    return folder


def write(path: Path, *rows: object) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_of_later_steps_go_and_the_rest_stays(folder: RunFolder) -> None:
    assert set_aside(folder, 10) == 4
    assert rows(folder.metrics) == [{"policy/step": 9}, {"policy/step": 10}, {"labels/seq": 70}]
    assert rows(folder.recordings / "rollouts.jsonl") == [{"step": 0}, {"step": 10}]
    assert rows(folder.recordings / "policies.jsonl") == [{"version": 10}]
    assert rows(folder.recordings / "rewards.jsonl") == [{"version": 20}]
    assert rows(folder.path / "lost" / "metrics.jsonl") == [{"policy/step": 11}]
    assert rows(folder.path / "lost" / "rollouts.jsonl") == [{"step": 11}, {"step": 11}]


def test_later_checkpoints_go_first(folder: RunFolder) -> None:
    folder.checkpoints.mkdir(exist_ok=True)
    for version in (0, 10, 20, 30):
        (folder.checkpoints / f"v{version:06d}.json").write_text(str(version))
    folder.metrics.write_text('{"policy/step": 9}\nnonsense\n')
    with pytest.raises(InputError):  # it dies over its lines
        set_aside(folder, 10)
    assert names(folder.checkpoints) == ["v000000.json", "v000010.json"]
    assert names(folder.path / "lost" / "checkpoints") == ["v000020.json", "v000030.json"]


def test_half_a_checkpoint_is_removed(folder: RunFolder) -> None:
    folder.checkpoints.mkdir(exist_ok=True)
    for version in (0, 10, 11, 20, 30):
        (folder.policies / f"v{version:06d}").mkdir(parents=True)
    for version in (10, 20):
        (folder.checkpoints / f"v{version:06d}.json").write_text("")
    for _ in range(2):  # once set aside, 20 is whole too
        set_aside(folder, 10)
        assert names(folder.policies) == ["v000000", "v000010", "v000020"]


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


def test_a_row_that_came_late_stays(folder: RunFolder) -> None:
    write(folder.metrics, {"policy/step": 11}, {"policy/step": 10, "late": 1}, {"labels/seq": 3})
    set_aside(folder, 10)
    assert rows(folder.metrics) == [{"policy/step": 10, "late": 1}, {"labels/seq": 3}]


def test_of_a_long_run_the_end_alone_is_read(folder: RunFolder) -> None:
    lines = [f'{{"policy/step": {number}}}\n' for number in range(1000)]
    folder.metrics.write_text("nonsense that nobody looks at\n" + "".join(lines))
    assert set_aside(folder, 990) == 9
    assert folder.metrics.read_text().endswith('{"policy/step": 990}\n')


def test_of_a_run_that_begins_anew_all_steps_go(folder: RunFolder) -> None:
    write(folder.metrics, {"policy/step": 0}, {"labels/seq": 3})
    set_aside(folder, -1)
    assert rows(folder.metrics) == [{"labels/seq": 3}]
    assert rows(folder.recordings / "rollouts.jsonl") == []


def test_again_there_is_nothing_more(folder: RunFolder) -> None:
    set_aside(folder, 10)
    before = {path: path.read_bytes() for path in folder.path.rglob("*.jsonl")}
    assert set_aside(folder, 10) == 0
    assert {path: path.read_bytes() for path in folder.path.rglob("*.jsonl")} == before


def test_a_line_that_a_crash_left_half_written_is_dropped_in_every_stream(
    folder: RunFolder,
) -> None:
    for path in (folder.metrics, folder.recordings / "learner.jsonl"):
        with path.open("a") as file:
            file.write('{"policy/st')
    set_aside(folder, 10)
    assert rows(folder.metrics)[-1] == {"labels/seq": 70}
    assert rows(folder.recordings / "learner.jsonl") == [{"doing": "step"}]


def test_who_was_killed_at_it_has_broken_no_line_of_what_was_lost(folder: RunFolder) -> None:
    lost = folder.path / "lost" / "metrics.jsonl"
    lost.parent.mkdir()
    lost.write_text('{"policy/step": 5}\n{"policy/st')
    set_aside(folder, 10)
    assert rows(lost) == [{"policy/step": 5}, {"policy/step": 11}]


@pytest.mark.parametrize("killed_after", ["two lines", "two lines and a half", "all", "renaming"])
def test_who_was_killed_at_it_has_written_no_line_of_what_was_lost_twice(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, killed_after: str
) -> None:
    lost = folder.path / "lost" / "rollouts.jsonl"
    lost.parent.mkdir()
    write(folder.metrics, {"policy/step": 10})
    write(folder.recordings / "rollouts.jsonl", *({"step": 11, "n": n} for n in range(4)))
    write(lost, {"step": 11, "n": -1})
    if killed_after == "renaming":
        set_aside(folder, 10)
    else:
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "copyfile", kill)
            with pytest.raises(Killed):
                set_aside(folder, 10)
    whole = lost.read_bytes()
    ends = [end for end, byte in enumerate(whole, start=1) if byte == ord("\n")]
    cut = {"two lines": ends[2], "two lines and a half": ends[2] + 5}.get(killed_after, len(whole))
    lost.write_bytes(whole[:cut])
    set_aside(folder, 10)
    assert rows(lost) == [{"step": 11, "n": n} for n in range(-1, 4)]
    assert rows(folder.recordings / "rollouts.jsonl") == []


class Killed(Exception):
    """Stands for the end of the process."""


def kill(*_: object) -> None:
    raise Killed


@pytest.mark.parametrize("line", [b"nonsense", b'{"policy/step": "\xff"}'])
def test_a_line_that_is_no_row_is_named(folder: RunFolder, line: bytes) -> None:
    folder.metrics.write_bytes(b'{"policy/step": 9}\n' + line + b"\n")
    with pytest.raises(InputError, match=r"metrics\.jsonl, byte 19: not JSON"):
        set_aside(folder, 10)
