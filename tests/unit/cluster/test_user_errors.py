"""Whatever became of a run's files, each command says in one line what is wrong with which."""

from __future__ import annotations

import getpass
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.config_file import parse_config, save_config
from cluster.run_folder import RunFolder
from label_queue.ledger.sql import SqlLedger
from tests.support.odd_names import EVERY_CHARACTER, OTHER_CHARACTERS
from tests.support.one_line import refusal, refusal_or_success
from tests.support.other_user import open_folder, other_user
from tests.support.synthetic_run import SyntheticRun

READERS = ("status", "report", "trace", "export", "labelers")
"""Commands that read a run which has ended."""
EVERY_COMMAND = (
    *READERS,
    "stop",
    "label",
    "pull",
    "release",
    "resume",
    "rollback",
    "exclude",
    "revoke",
)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has ended; not to be changed."""
    return SyntheticRun(tmp_path_factory.mktemp("runs") / "synthetic").write()


@pytest.fixture
def run(ended: Path) -> Iterator[Path]:
    """A copy that every user can reach, and do with what they like."""
    with open_folder() as folder:
        shutil.copytree(ended, folder / "run-1")
        yield folder / "run-1"


def command(name: str, run: Path) -> list[str]:
    """Return a command's arguments for a run."""
    reason = ["--reason", "why"]
    return {
        "status": ["status", str(run)],
        "report": ["report", str(run)],
        "trace": ["trace", str(run), "--labeler", "ada"],
        "export": ["export", str(run), "--format", "andon", "--out", str(run / "out.jsonl")],
        "labelers": ["labelers", "list", "--run", str(run)],
        "stop": ["stop", str(run)],
        "label": ["label", str(run), "--no-open"],
        "pull": ["cord", "pull", str(run), *reason],
        "release": ["cord", "release", str(run)],
        "resume": ["resume", str(run)],
        "rollback": ["rollback", str(run), "--to", "0", *reason],
        "exclude": ["labelers", "exclude", "ada", "--yes", "--run", str(run), *reason],
        "revoke": ["labelers", "revoke", "ada", "--run", str(run), *reason],
    }[name]


GARBLED_STATES: dict[str, Callable[[str], bytes]] = {
    "empty": lambda text: b"",
    "cut off": lambda text: text[: len(text) // 2].encode(),
    "of another kind": lambda text: b"[1, 2]",
    "null": lambda text: b"null",
    "without its keys": lambda text: b"{}",
    "zeroes": lambda text: b"\0" * 100,
    "not UTF-8": lambda text: b'{"state": "\xff"}',
    "deep": lambda text: b"[" * 100_000,
    "of a state that is none": lambda text: text.replace('"finished"', '"asleep"').encode(),
    "of a mode that is none": lambda text: text.replace('"online"', "{}").encode(),
    "of a pid that is none": lambda text: json.dumps(
        {**json.loads(text), "state": "running", "host": os.uname().nodename, "pid": -5}
    ).encode(),
    "of a pid beyond all": lambda text: json.dumps(
        {**json.loads(text), "state": "running", "host": os.uname().nodename, "pid": 2**70}
    ).encode(),
}


@pytest.mark.parametrize("garble", GARBLED_STATES)
@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_a_garbled_run_json(run: Path, name: str, garble: str) -> None:
    state = run / "run.json"
    state.write_bytes(GARBLED_STATES[garble](state.read_text()))
    if name in ("trace", "export") or (name == "report" and garble == "without its keys"):
        # They need nothing of it but that it is there.
        said = refusal_or_success(command(name, run))
        assert said is None or "run.json" in said
    else:
        assert "run.json" in refusal(command(name, run))


def test_a_run_json_of_another_user_s(run: Path) -> None:
    (run / "run.json").chmod(0)
    with other_user():
        # The others read the ledger first, or nothing of it.
        for name in set(EVERY_COMMAND) - {"trace", "export", "report"}:
            assert "run.json may not be read by this user" in refusal(command(name, run))


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_a_folder_of_another_user_s(run: Path, name: str) -> None:
    run.chmod(0)
    with other_user():
        assert "run.json may not be read by this user" in refusal(command(name, run))
    run.chmod(0o700)


@pytest.mark.parametrize("name", ["report", "trace", "export", "labelers"])
def test_a_garbled_config(run: Path, name: str) -> None:
    for content in (b"[run", b"\xff", b"run = 1", b"x = " + b"[" * 50_000):
        (run / "config.toml").write_bytes(content)
        assert "config.toml" in refusal(command(name, run))
    (run / "config.toml").unlink()
    assert "config.toml is not a file" in refusal(command(name, run))
    (run / "config.toml").mkdir()
    assert "config.toml is not a file" in refusal(command(name, run))


def test_a_config_of_another_user_s(run: Path) -> None:
    (run / "config.toml").chmod(0)
    with other_user():
        assert "config.toml may not be read by this user" in refusal(command("export", run))
        arguments = ["run", str(run / "config.toml"), "--folder", str(run.parent / "new")]
        assert "config.toml may not be read by this user" in refusal(arguments)


@pytest.mark.parametrize("name", ["report", "trace", "export", "labelers"])
def test_a_garbled_ledger(run: Path, name: str) -> None:
    ledger = run / "ledger.sqlite"
    whole = ledger.read_bytes()
    for content in (b"no ledger" * 100, whole[: len(whole) // 2], whole[:4096] + b"\0" * 40_000):
        for beside in ("-wal", "-shm"):
            (run / f"ledger.sqlite{beside}").unlink(missing_ok=True)
        ledger.write_bytes(content)
        assert "ledger.sqlite" in refusal(command(name, run))
    ledger.unlink()
    ledger.mkdir()
    assert "ledger.sqlite" in refusal(command(name, run))


def test_a_ledger_of_another_user_s(run: Path) -> None:
    for path in run.glob("ledger.sqlite*"):
        path.chmod(0)
    with other_user():
        for name in ("report", "trace", "export", "labelers"):
            assert "ledger.sqlite" in refusal(command(name, run))


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("status", "metrics.jsonl", "{\n"),
        ("status", "metrics.jsonl", "[]\n"),
        ("status", "metrics.jsonl", '{"policy/version": "new"}\n'),
        ("report", "metrics.jsonl", '{"policy/step": null}\n'),
        ("report", "metrics.jsonl", "[" * 100_000 + "\n"),
        ("report", "recordings/rollouts.jsonl", "{}\n"),
        ("report", "recordings/rollouts.jsonl", '{"schema": 2}\n'),
        ("report", "recordings/rewards.jsonl", "{\n"),
        ("report", "recordings/policies.jsonl", '{"version": "one"}\n'),
        ("report", "recordings/learner.jsonl", '{"started_at": "noon", "doing": "step"}\n'),
    ],
)
def test_a_garbled_line(run: Path, name: str, file: str, content: str) -> None:
    (run / file).write_text(content)
    said = refusal(command(name, run))
    assert file in said
    assert "line 1" in said


def test_a_report_that_cannot_be_written(run: Path) -> None:
    shutil.rmtree(run / "report", ignore_errors=True)
    (run / "report").touch()
    assert "report: cannot be written (File exists)" in refusal(command("report", run))


def test_an_export_that_cannot_be_written(run: Path) -> None:
    def out(path: Path) -> str:
        return refusal(["export", str(run), "--format", "andon", "--out", str(path)])

    assert "cannot be written (No such file or directory)" in out(run / "none" / "out")
    assert "cannot be written (Not a directory)" in out(run / "run.json" / "out")
    assert "cannot be written (File name too long)" in out(run / ("n" * 256))
    with open_folder() as closed:
        closed.chmod(0o555)
        for path in (run, *run.glob("ledger*")):
            path.chmod(0o777)
        with other_user():
            assert "cannot be written (Permission denied)" in out(closed / "out")
        closed.chmod(0o777)


def test_a_file_to_import_that_is_none(run: Path, tmp_path: Path) -> None:
    def said(file: Path, run: Path) -> str:
        return refusal(["import", str(file), str(run)])

    assert "is not a file" in said(tmp_path / "none", tmp_path / "new")
    assert "is not a file" in said(tmp_path, tmp_path / "new")
    (tmp_path / "file").write_bytes(b"\xff\n")
    assert "file, line 1: not UTF-8 text" in said(tmp_path / "file", tmp_path / "new")
    assert "cannot be written" in said(tmp_path / "file", tmp_path / "file")
    assert "already holds a run" in said(tmp_path / "file", run)
    assert "has no name to call the run by" in said(tmp_path / "file", Path("/"))


def test_a_user_without_a_name(live_run: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert refusal(["label", "--no-open"]) == (
        "this user has no name here: give one with --as NAME"
    )


def test_one_garbled_run_keeps_nobody_from_the_one_that_goes_on(
    live_run: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    garbled = Path("runs/a-1/run.json")
    garbled.parent.mkdir()
    garbled.write_text("{")
    assert refusal_or_success(["label", "--no-open"]) is None
    shutil.rmtree("runs/demo-1")
    said = refusal(["label", "--no-open"])
    assert "no run is going on under runs/" in said
    assert "runs/a-1/run.json is not as a run writes it" in said


@pytest.mark.parametrize("content", ["", "{", "[]", '{"why": 1}', "\0"])
def test_a_stop_request_is_one_whatever_it_holds(tmp_path: Path, content: str) -> None:
    folder = RunFolder.create(tmp_path)
    (tmp_path / "control" / "stop").write_text(content)
    reason = folder.stop_requested()
    assert reason is not None
    assert "without a reason" in reason


@pytest.mark.parametrize("name", [EVERY_CHARACTER, OTHER_CHARACTERS, "[a-z]*", "%41#?"], ids=ascii)
def test_a_run_in_a_folder_of_any_name(ended: Path, tmp_path: Path, name: str) -> None:
    run = tmp_path / name
    shutil.copytree(ended, run)
    for each in READERS:
        assert refusal_or_success(command(each, run)) is None
    assert (run / "report" / "index.html").is_file()
    assert (run / "out.jsonl").is_file()


class TestStarting:
    """`andon run`, which must leave nothing behind where it is refused."""

    @pytest.fixture
    def config(self, tmp_path: Path) -> Path:
        content = {"people": ["ann"], "prompts": {}, "labels": {}, "policy": {"path": "m"}}
        save_config(parse_config(content, "test"), tmp_path / "config.toml")
        return tmp_path / "config.toml"

    @pytest.fixture(autouse=True)
    def _own_environment(self) -> Iterator[None]:
        before = dict(os.environ)
        yield
        os.environ.clear()
        os.environ.update(before)

    @pytest.mark.parametrize(
        ("folder", "said"),
        [
            ("/", "has no name to call the run by"),
            ("/dev/null/run", "the run's folder /dev/null/run cannot be written (Not a directory)"),
            ("/proc/run", "the run's folder /proc/run cannot be written"),
            ("n" * 256, "cannot be written (File name too long); name another with --folder"),
            ("a\udcff", "not a path for a run"),
        ],
        ids=ascii,
    )
    def test_a_folder_that_can_be_no_run_s(self, config: Path, folder: str, said: str) -> None:
        assert said in refusal(["run", str(config), "--folder", folder])

    def test_a_folder_that_is_another_user_s(self, config: Path) -> None:
        with open_folder() as folder:
            shutil.copy(config, folder / "config.toml")
            folder.chmod(0o755)
            with other_user():
                said = refusal(["run", str(folder / "config.toml"), "--folder", str(folder / "r")])
            assert said == (
                f"the run's folder {folder / 'r'} cannot be written (Permission denied); name "
                "another with --folder"
            )

    @pytest.mark.parametrize("address", ["ray://h:1", "h", "h:x", "[::1", "::", "a b:1", "\x1b:1"])
    def test_a_ray_address_that_is_none(
        self, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
    ) -> None:
        monkeypatch.setenv("RAY_ADDRESS", address)
        said = refusal(
            ["run", str(config), "--folder", str(tmp_path / "r"), "--set", "cluster.http_port=0"]
        )
        assert "is not HOST:PORT" in said
        assert not (tmp_path / "r").exists()

    @pytest.mark.parametrize(
        ("setting", "said"),
        [
            ("run.name=a\udcff", "is not UTF-8 text"),
            ("run.name=a\nseed=2", "run.name: want at most 64"),
            (
                "cluster.http_host=::1%lo",
                "an address with a zone is known to this machine alone: leave it out",
            ),
            ("metrics.wandb_project=a/b", "wandb takes no '/'"),
            ("run.seed=" + "[" * 50_000, "run.seed: "),
        ],
        ids=ascii,
    )
    def test_a_setting_that_is_none(self, config: Path, setting: str, said: str) -> None:
        assert said in refusal(["run", str(config), "--set", setting])

    def test_an_import_that_cannot_be_gone_on_with(self, config: Path, tmp_path: Path) -> None:
        folder = tmp_path / "mine-1"
        folder.mkdir()
        arguments = ["run", str(config), "--folder", str(folder), "--set", "cluster.http_port=0"]
        ledger = folder / "ledger.sqlite"
        SqlLedger.open(ledger, "another-1").close()
        assert "is the ledger of run 'another-1', not 'mine-1'" in refusal(arguments)
        for path in folder.iterdir():
            path.unlink()
        lock = SqlLedger.open(ledger, "mine-1")
        assert "another process has this ledger open" in refusal(arguments)
        lock.close()
        ledger.write_text("no ledger" * 200)
        assert "not a label ledger" in refusal(arguments)
