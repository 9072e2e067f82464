"""A small real run on record: each part alone does again what it did, as docs/REPLAY.md has it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from cluster.recordings.segment_files import FOLDER, segment_files
from cluster.recordings.segments import SegmentWriter, read_segment
from cluster.run_folder import RunFolder
from tests.integration.conftest import Replay
from tests.support.watched_run import REPLAY_PAGE, Seen

pytestmark = pytest.mark.timeout(1800)

COMMANDS = re.findall(r"^andon (replay .*)$", REPLAY_PAGE, re.M)


@pytest.fixture
def run(seen: Seen) -> RunFolder:
    """Four PPO steps and some fits, recorded as the page says."""
    assert seen.code == 0, seen.run.output
    return seen.run.folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_streams_were_recorded_and_sealed(run: RunFolder) -> None:
    files = segment_files(run.recordings / FOLDER)
    assert {file.stream for file in files} == {
        *("rollouts", "scores", "batches", "labels", "versions", "start")
    }
    assert not any(file.is_live for file in files)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_finds_all_as_recorded(
    run: RunFolder, command: str, replay: Replay
) -> None:
    _, _, *arguments = shlex.split(command)
    before = contents(run.path)
    code, said = replay(run.path, *arguments, *(() if "--diff" in arguments else ("--diff",)))
    assert code == 0, said
    part = arguments[arguments.index("--part") + 1]
    found = re.search(rf"^{part}: (\d+) of (\d+) as recorded", said, re.M)
    assert found is not None, said
    assert found[1] == found[2]
    least = {"learner": 2 if "--from" in arguments else 4, "rollouts": 16}.get(part, 2)
    assert int(found[2]) >= least
    assert contents(run.path) == before, "a replay writes nothing into the run's folder"


def altered(run: RunFolder, folder: Path) -> RunFolder:
    """Copy a run; of the batch of its step 1, change one log-probability by a thousandth."""
    copy = RunFolder(shutil.copytree(run.path, folder))
    (file,) = [f for f in segment_files(copy.recordings / FOLDER) if f.stream == "batches"]
    messages = list(read_segment(file.path))
    file.path.unlink()
    writer = SegmentWriter(file.path)
    for message in messages:
        content = json.loads(message.content)
        if message.topic == "learner.step.asked" and content["step"] == 1:
            content["rollouts"][3]["rollout"]["behavior_logprobs"][0] -= 1e-3
        writer.add(
            message.topic,
            message.version,
            message.schema,
            sequence=message.sequence,
            at=message.at,
            content=json.dumps(content).encode(),
        )
    writer.seal()
    return copy


def test_what_was_altered_is_named_with_how_much(
    run: RunFolder, tmp_path: Path, replay: Replay
) -> None:
    copy = altered(run, tmp_path / "altered")
    code, said = replay(copy.path, "--part", "learner", "--until", "2", "--diff")
    assert code == 1, said
    assert "learner: 1 of 2 as recorded, bit for bit\n" in said
    assert re.search(
        r"^first that differs: policy version 2 \(.*batches\.mcap, frame \d+ at byte \d+\)$",
        said,
        re.M,
    )
    assert re.search(
        r"policy\.weights\.sha256: recorded '[0-9a-f]{64}', replayed '[0-9a-f]{64}'", said
    )


def test_a_changed_byte_is_named(run: RunFolder, tmp_path: Path, replay: Replay) -> None:
    copy = RunFolder(shutil.copytree(run.path, tmp_path / "hurt"))
    (file,) = [f for f in segment_files(copy.recordings / FOLDER) if f.stream == "batches"]
    hurt = bytearray(file.path.read_bytes())
    hurt[len(hurt) // 2] ^= 1
    file.path.write_bytes(hurt)
    code, said = replay(copy.path, "--part", "learner")
    assert code != 0
    assert re.search(r"batches\.mcap, frame \d+ at byte \d+ is corrupt", said)
