"""What a person can get wrong: one line that names it and the mend, at once, and nothing begun."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result

from cluster.cli import main
from tests.support.ports import free_port
from tests.support.run_process import run_arguments, save_chat_model, save_inputs

# Checks that need no Ray come before it starts: these tests are quick, and so is the answer.


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a run sets in the environment ends with the test; wandb finds no key of anybody's."""
    before = dict(os.environ)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def refused(inputs: Path, folder: Path, *settings: str) -> str:
    """Run, and return the one line with which it was refused."""
    running = set(psutil.Process().children())
    line = refusal(CliRunner().invoke(main, run_arguments(inputs, folder, settings)), folder)
    assert set(psutil.Process().children()) <= running
    return line


def refusal(result: Result, folder: Path) -> str:
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert result.stdout == ""
    assert line.startswith("andon: ")
    assert not folder.exists(), "half a run was left behind"
    return line.removeprefix("andon: ")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken


@pytest.fixture
def closed_port() -> int:
    """Return a port on which nothing listens."""
    return free_port()


def test_a_config_that_is_not_there(folder: Path) -> None:
    result = CliRunner().invoke(main, ["run", "none.toml", "--folder", str(folder)])
    assert refusal(result, folder) == (
        "config none.toml is not a file; name a TOML file, as those in examples/"
    )


def test_a_config_that_is_not_toml(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[run\n")
    result = CliRunner().invoke(main, ["run", str(config), "--folder", str(folder)])
    assert f"config {config} is not valid TOML" in refusal(result, folder)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("ppo.epoch=2", "ppo.epoch is not a known key; did you mean epochs?"),
        ("pppo.epochs=2", "pppo is not a known key; did you mean ppo?"),
        ("ppo.epochs=many", "ppo.epochs: want a number, without quotes, but got 'many'"),
        ("ppo.lr=-1", "ppo.lr: Input should be greater than 0, but got -1"),
        ("run.episodes=65", "run.episodes 65 is not a multiple of ppo.batch_size 16"),
        ("cluster.http_host=0.0.0.0", "cluster: http_host 0.0.0.0 is open to the network: set"),
        ("people=[]", "nobody labels"),
        ("ppo.lr", "setting 'ppo.lr' is not key=value"),
    ],
)
def test_a_wrong_key_or_value(inputs: Path, folder: Path, setting: str, message: str) -> None:
    assert message in refused(inputs, folder, setting)


def test_a_policy_that_is_not_there(inputs: Path, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "none"
    assert refused(inputs, folder, f"policy.path={path}") == (
        f"policy.path {path} does not exist: name a model's folder, or a hub id"
    )


def test_a_policy_folder_that_is_empty(inputs: Path, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.mkdir()
    assert f"model folder {path} is empty" in refused(inputs, folder, f"policy.path={path}")


def test_a_policy_folder_that_holds_no_model(inputs: Path, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.mkdir()
    (path / "notes.txt").write_text("no model")
    assert f"{path} holds no config.json" in refused(inputs, folder, f"policy.path={path}")


def test_weights_that_are_something_else(inputs: Path, folder: Path, tmp_path: Path) -> None:
    path = save_chat_model(tmp_path / "garbled")
    (path / "model.safetensors").write_text("<html>not found</html>")
    message = refused(inputs, folder, f"policy.path={path}")
    assert message.startswith(f"{path}/model.safetensors is not a safetensors file")


def test_a_prompt_file_that_is_not_there(inputs: Path, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    assert refused(inputs, folder, f"prompts.path={path}") == (
        f"{path}: no such prompt file: check prompts.path"
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "empty: give one"),
        (['{"prompt": "the soup"}', "the room"], "line 2: not JSON"),
        (['{"prompt": "the soup"}', '{"text": "the room"}'], 'line 2: no "prompt"'),
        (['{"prompt": 7}'], 'line 1: "prompt" is of type int'),
        (['{"prompt": ""}'], 'line 1: "prompt" is empty'),
        (['{"prompt": [{"role": "boss", "content": "hi"}]}'], 'line 1: "prompt", message 0'),
        (
            [json.dumps({"prompt": "the soup " * 30})],
            "line 1: the prompt is 60 tokens long and at most 40 may be",
        ),
    ],
)
def test_a_prompt_file_that_is_not_what_it_says(
    inputs: Path, folder: Path, tmp_path: Path, lines: Iterable[str], message: str
) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    line = refused(inputs, folder, f"prompts.path={path}")
    assert line.startswith(str(path))
    assert message in line


def test_a_port_in_use(inputs: Path, folder: Path, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    line = refused(inputs, folder, f"cluster.http_port={port}")
    assert line.startswith(f"port {port} on 127.0.0.1 is in use by process {os.getpid()} (")
    assert line.endswith("): set cluster.http_port to another, or to 0 for a free one")


def test_no_memory_for_the_cache(inputs: Path, folder: Path) -> None:
    message = refused(inputs, folder, "rollouts.kv_cache_gib=100000")
    assert message.startswith("rollouts.kv_cache_gib = 100000.0, but only ")
    assert message.endswith(" GiB of memory are free: lower it, or free memory")


def test_wandb_online_without_a_network(
    inputs: Path, folder: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{closed_port}")
    assert refused(inputs, folder, "metrics.wandb=online") == (
        f"wandb could not start online (127.0.0.1:{closed_port} cannot be reached); log in and "
        "check the network, or set metrics.wandb='offline'"
    )


def test_a_ray_address_where_nothing_answers(
    inputs: Path, folder: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{closed_port}")
    assert refused(inputs, folder) == (
        f"no Ray cluster answers at 127.0.0.1:{closed_port}: start one with `ray start --head` or "
        "unset RAY_ADDRESS to run on this machine alone"
    )


def test_a_folder_that_holds_a_run(inputs: Path, folder: Path) -> None:
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    result = CliRunner().invoke(main, run_arguments(inputs, folder))
    assert result.exit_code == 2
    assert result.stderr == (
        f"andon: {folder} already holds a run; name another folder with --folder, or remove this "
        "one\n"
    )


@pytest.mark.parametrize("command", ["status", "stop", "report"])
def test_a_folder_that_holds_none(command: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [command, str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr == (
        f"andon: {tmp_path} holds no run (no run.json); name the folder of a run\n"
    )
