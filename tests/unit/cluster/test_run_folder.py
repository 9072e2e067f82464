"""A run's folder: made once, its state whole at any moment, its stop request readable."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from cluster.run_folder import RunFolder, write_json
from protocol.errors import ConfigError, DiskFull, MissingError, ResourceError
from tests.support.no_room import no_room


def test_a_new_folder_has_its_parts_and_hides_the_tokens(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "runs" / "demo-1")
    for part in (folder.policies, folder.rewards, folder.recordings, folder.logs, folder.tokens):
        assert part.is_dir()
    assert stat.S_IMODE(folder.tokens.stat().st_mode) == 0o700


def test_a_folder_that_holds_a_run_is_not_taken_again(tmp_path: Path) -> None:
    RunFolder.create(tmp_path).update_state(state="finished")
    with pytest.raises(ConfigError, match=r"already holds a run; name another .* --folder"):
        RunFolder.create(tmp_path)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=rf"^{tmp_path}/demo holds no run \(no run\.json\)"):
        RunFolder.existing(tmp_path / "demo")


def test_state_is_merged_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.update_state(state="starting", seed=1)
    folder.update_state(state="running", url="http://127.0.0.1:8000")
    assert RunFolder.existing(tmp_path).read_state() == {
        "state": "running",
        "seed": 1,
        "url": "http://127.0.0.1:8000",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_what_cannot_be_written_leaves_the_old_file_whole(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.update_state(state="running")
    with pytest.raises(TypeError):
        write_json(folder.state, {"state": object()})
    assert folder.read_state() == {"state": "running"}


def test_a_stop_request_is_seen_and_the_last_reason_stands(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    assert folder.stop_requested() is None
    folder.request_stop("enough seen")
    RunFolder(tmp_path).request_stop("the KL is too high")
    assert folder.stop_requested() == "the KL is too high"
    assert not folder.is_stop_urgent()
    folder.request_stop("the KL is too high", at_once=True)
    assert folder.is_stop_urgent()
    folder.forget_stop()
    assert folder.stop_requested() is None
    assert not folder.is_stop_urgent()


def test_a_token_is_for_whoever_started_the_run_alone(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    folder.write_token("ann", "secret")
    assert (folder.tokens / "ann").stat().st_mode & 0o777 == 0o600
    assert folder.read_token("ann") == "secret"
    with pytest.raises(MissingError, match="tokens/bob is not there"):
        folder.read_token("bob")


def test_a_token_that_found_no_room_is_none_and_the_one_before_stands(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    folder.write_token("ann", "secret")
    with no_room(), pytest.raises(DiskFull):
        folder.write_token("ann", "another")
    with no_room(), pytest.raises(DiskFull):
        folder.write_token("bob", "secret")
    assert folder.read_token("ann") == "secret"
    assert not folder.has_token("bob")
    assert [path.name for path in folder.tokens.iterdir()] == ["ann"]


def test_an_empty_file_is_no_token(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    (folder.tokens / "ann").touch()
    assert not folder.has_token("ann")
    folder.write_token("ann", "secret")
    assert folder.has_token("ann")


def test_checkpoints_are_the_versions_on_disk(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    for name in ("v000010", "v000000", ".draft-v000020", "final"):
        (folder.policies / name).mkdir()
    assert folder.restorable() == (0, 10)


def test_what_a_killed_run_drafted_is_cleared(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    kept = folder.policies / "v000001"
    lefts = (folder.policies / ".draft-v000002", folder.rewards / "trainer" / ".gone-v000001")
    for path in (kept, *lefts):
        path.mkdir(parents=True)
    folder.clear_left()
    assert kept.is_dir()
    assert not any(left.exists() for left in lefts)


def test_only_folders_named_by_a_number_are_versions(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    for name in ("v000010", "v000002", "v000007.bak", "final"):
        (folder.policies / name).mkdir()
    assert folder.restorable() == (2, 10)


def test_one_process_at_a_time_drives_a_run(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    with (
        folder.driven(),
        pytest.raises(ResourceError, match=r"another process drives this run, or is about to"),
        RunFolder(tmp_path).driven(),
    ):
        raise AssertionError("two at once")
    with folder.driven():
        pass


def test_it_is_seen_whether_one_does(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    assert not folder.is_driven()
    for _ in range(2):
        with folder.driven():
            assert RunFolder(tmp_path).is_driven()
        assert not folder.is_driven()


def test_what_a_run_was_asked_before_it_is_driven_is_forgotten(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    folder.request_stop("then")
    with folder.driven():
        assert folder.stop_requested() is None
        folder.request_stop("now")
        assert folder.stop_requested() == "now"
