"""What a resumed run must have as it had it, each key refused by name."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from cluster.config import RunConfig
from cluster.config_file import parse_config
from cluster.run_folder import RunFolder
from cluster.starting.allowed_changes import FIXED, refuse_changes
from cluster.starting.ports import free_port
from cluster.starting.resumption import (
    _ended_at,
    at_the_old_port,
    free_number,
    read_resumption,
    wait_for_ledger,
)
from label_queue.ledger.sql import SqlLedger
from protocol.errors import ConfigError, MissingError, ResourceError


def config(**parts: dict[str, Any]) -> RunConfig:
    content: dict[str, dict[str, Any]] = {
        "run": {"episodes": 1024, "seed": 1},
        "prompts": {"source": "reviews"},
        "policy": {"path": "model"},
        "labels": {"total": 1000},
        "ppo": {"batch_size": 64},
    }
    for part, changes in parts.items():
        content[part] = {**content.get(part, {}), **changes}
    return parse_config({"people": ["ann"], **content}, "test")


@pytest.mark.parametrize(
    ("part", "changes", "key"),
    [
        ("run", {"seed": 2}, "run.seed"),
        ("run", {"mode": "offline"}, "run.mode"),
        ("policy", {"path": "other"}, "policy"),
        ("prompts", {"seed": 3}, "prompts"),
        ("ppo", {"batch_size": 128}, "ppo.batch_size"),
        ("ppo", {"critic": "separate"}, "ppo.critic"),
        ("reward_model", {"num_heads": 3}, "reward_model"),
        ("learner", {"num_ranks": 2}, "learner.num_ranks"),
        ("learner", {"zero_stage": 2}, "learner.zero_stage"),
        ("learner", {"dtype": "bfloat16"}, "learner.dtype"),
        ("reward_trainer", {"num_ranks": 2}, "reward_trainer.num_ranks"),
    ],
)
def test_what_it_cannot_go_on_with_is_refused(part: str, changes: dict[str, Any], key: str) -> None:
    assert key in FIXED
    with pytest.raises(ConfigError, match=rf"^{key} of a resumed run must stay"):
        refuse_changes(config(), config(**{part: changes}))


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("rollouts", {"num_actors": 3}),
        ("run", {"episodes": 2048}),
        ("run", {"max_policy_lag": 2}),
        ("ppo", {"lr": 1e-5}),
        ("labels", {"total": 1200}),
        ("learner", {"checkpoint": {"every_steps": 5}}),
    ],
)
def test_what_it_can_go_on_with_is_not(part: str, changes: dict[str, Any]) -> None:
    refuse_changes(config(), config(**{part: changes}))


def test_a_connector_keeps_its_name() -> None:
    tool = {"kind": "jsonl", "name": "north", "path": "/answers.jsonl"}
    before = config(labels={"connectors": [tool]})
    refuse_changes(before, config(labels={"connectors": [{**tool, "sweep_s": 9.0}]}))
    with pytest.raises(
        ConfigError, match=r"path is /answers\.jsonl must stay 'north', not 'south'"
    ):
        refuse_changes(before, config(labels={"connectors": [{**tool, "name": "south"}]}))


@pytest.mark.parametrize(
    ("said", "ended_at"),
    [
        ({}, 20_000.0),
        ({"ended_at": 1_000.0}, 1_000.0),
        ({"ended_at": 1_000.0, "resumed_at": [2_000.0]}, 20_000.0),
        ({"ended_at": 1_000.0, "resumed_at": [500.0]}, 1_000.0),
        ({"ended_at": None, "resumed_at": [2_000.0]}, 20_000.0),
    ],
    ids=["killed", "stopped", "stopped, resumed, killed", "resumed, stopped", "forgotten"],
)
def test_a_run_ended_when_its_last_life_did(
    tmp_path: Path, said: dict[str, Any], ended_at: float
) -> None:
    folder = RunFolder.create(tmp_path)
    folder.update_state(started_at=0.0, **said)
    folder.metrics.write_text("{}\n")
    os.utime(folder.metrics, (20_000, 20_000))
    assert _ended_at(folder) == ended_at


@pytest.mark.parametrize("said", [{}, {"ended_at": 1_000.0}], ids=["killed", "stopped"])
def test_it_did_not_end_before_its_last_row_though_the_clock_was_set_back(
    tmp_path: Path, said: dict[str, Any]
) -> None:
    folder = RunFolder.create(tmp_path)
    folder.update_state(started_at=500.0, **said)
    folder.metrics.write_text('{"time/wall_s": 10.0}\n{"time/wall_s": 23600.5}\n{"time/wal')
    os.utime(folder.metrics, (20_000, 20_000))
    assert _ended_at(folder) == 24_100.5


@pytest.mark.parametrize(
    ("announced", "on_disk", "number"),
    [
        (30, (0, 20, 30), 30),
        (39, (0, 20, 30), 40),
        (39, (0, 20, 30, 40), 41),
        (30, (0, 20, 30, 31), 32),
        (39, (), 40),
    ],
)
def test_a_number_is_not_used_again(announced: int, on_disk: tuple[int, ...], number: int) -> None:
    assert free_number(30, announced, on_disk) == number


def test_a_ledger_that_is_let_go_is_waited_for(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run-1")
    held = SqlLedger.open(folder.ledger, folder.run_id)
    waiting = threading.Thread(target=wait_for_ledger, args=(folder, config(), print, 60.0))
    waiting.start()
    held.close()
    waiting.join(30.0)
    assert not waiting.is_alive()


def test_a_ledger_that_is_held_is_an_error(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run-1")
    held = SqlLedger.open(folder.ledger, folder.run_id)
    with pytest.raises(ResourceError):
        wait_for_ledger(folder, config(), print, 0.0)
    held.close()


def test_what_is_waited_for_is_said_at_once(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run-1")
    held = SqlLedger.open(folder.ledger, folder.run_id)
    said: list[str] = []

    def hear(words: str) -> None:
        said.append(words)
        held.close()  # so that the next attempt finds it free

    wait_for_ledger(folder, config(), hear, 60.0)
    (line,) = said
    assert line.startswith("waiting for the ledger, 60 s at most: ")
    assert f"open (process {os.getpid()} on {os.uname().nodename}); stop it" in line


def test_where_a_lock_does_not_say_whose_it_is_it_is_said_how_to_see(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run-1")
    held = SqlLedger.open(folder.ledger, folder.run_id)
    lock = folder.ledger.with_name("ledger.sqlite.lock")
    lock.write_text("")  # as older versions left it
    with pytest.raises(ResourceError, match=r"\(`fuser .*ledger\.sqlite\.lock` names it\)"):
        wait_for_ledger(folder, config(), print, 0.0)
    held.close()


def at(port: int, path: str = "") -> str:
    return f"http://127.0.0.1:{port}{path}"


def test_both_faces_are_found_where_they_were() -> None:
    pages, reward = free_port("127.0.0.1", 0), free_port("127.0.0.1", 0)
    while pages == reward:
        reward = free_port("127.0.0.1", 0)
    state = {"url": at(pages), "reward_url": at(reward)}
    any_port = config(cluster={"http_port": 0})
    ports = at_the_old_port(any_port, state).cluster
    assert (ports.http_port, ports.reward_port) == (pages, reward)
    assert at_the_old_port(any_port, {}) == any_port


def test_beyond_loopback_the_pages_are_where_they_were_and_not_where_programs_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, int]] = []

    def free(host: str, port: int, _: str) -> int:
        asked.append((host, port))
        return port

    monkeypatch.setattr("cluster.starting.resumption.free_port", free)
    wide = {
        "http_host": "0.0.0.0",
        "http_port": 0,
        "public_url": "http://10.0.0.1:8443",
        "without_tls": "network_may_read_tokens",
    }
    state = {"url": at(31_000), "reward_url": at(31_001), "http_port": 8443}
    ports = at_the_old_port(config(cluster=wide), state).cluster
    assert (ports.http_port, ports.reward_port) == (8443, 31_001)
    assert asked == [("0.0.0.0", 8443), ("127.0.0.1", 31_001)]


def test_a_port_that_was_chosen_or_is_taken_stays_as_the_config_says() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        state = {"url": at(taken), "reward_url": at(taken)}
        cluster = at_the_old_port(config(cluster={"http_port": 0}), state).cluster
        assert (cluster.http_port, cluster.reward_port) == (0, 0)
    pages = free_port("127.0.0.1", 0)
    chosen = config(cluster={"http_port": pages})
    # The reward's may not take what the pages were given since.
    cluster = at_the_old_port(chosen, {"url": at(1), "reward_url": at(pages)}).cluster
    assert (cluster.http_port, cluster.reward_port) == (pages, 0)


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        ({}, "the pages have another port now: pages must be opened anew"),
        (
            {"public_url": "https://label.example.org/{run}"},
            "the pages have another port now: tell the proxy before it; `andon front` finds it by "
            "itself",
        ),
    ],
)
def test_who_must_hear_of_another_port_is_said(cluster: dict[str, Any], told: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy, socket.create_server(
        ("127.0.0.1", 0)
    ) as other, capture_logs() as logs:  # fmt: skip
        state = {"url": at(busy.getsockname()[1]), "reward_url": at(other.getsockname()[1])}
        at_the_old_port(config(cluster={"http_port": 0, **cluster}), state)
    assert [each["event"] for each in logs] == [told, "the reward's face has another port now"]


def test_a_run_whose_checkpoints_are_gone_does_not_begin_anew(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert read_resumption(folder, config(), None) is None
    (folder.policies / "v000000").mkdir(parents=True)
    assert read_resumption(folder, config(), None) is None  # it died before its first checkpoint
    (folder.policies / "v000005").mkdir()
    with pytest.raises(
        MissingError, match=r"holds no checkpoint, but .* has policy versions up to 5"
    ):
        read_resumption(folder, config(), None)
    assert folder.restorable() == (0, 5)


def test_a_folder_of_checkpoints_that_may_not_be_looked_into_is_not_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(ResourceError, match="checkpoints"):
        read_resumption(folder, config(), None)
