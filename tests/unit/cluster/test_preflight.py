"""What is checked before anything starts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from cluster.starting.preflight import check_label_files, free_port
from label_queue.config import GoldConfig, LabelsConfig, QualityConfig
from protocol.errors import MissingError, ResourceError

HOST = "127.0.0.1"


def test_a_port_in_use_is_named_with_the_mend() -> None:
    with socket.create_server((HOST, 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(ResourceError) as told:
            free_port(HOST, port)
    assert str(told.value) == (
        f"port {port} on {HOST} is in use: set cluster.http_port to another, or to 0 for a free one"
    )


def test_a_free_port_is_taken_as_it_is() -> None:
    port = free_port(HOST, 0)
    assert port > 0
    assert free_port(HOST, port) == port


def test_label_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    check_label_files(LabelsConfig())
    missing = tmp_path / "none.md"
    with pytest.raises(MissingError, match=r"labels\.guidelines: .*none\.md"):
        check_label_files(LabelsConfig(guidelines=missing))
    gold = QualityConfig(gold=GoldConfig(path=missing))
    with pytest.raises(MissingError, match=r"labels\.quality\.gold\.path"):
        check_label_files(LabelsConfig(quality=gold))
