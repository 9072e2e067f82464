"""A ledger on a server, named where a run's folder or a ledger file is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.alone.sources import find_config, find_ledger, fresh_out
from cluster.config_file import parse_config, save_config
from cluster.run_folder import RunFolder
from label_queue.ledger.sql import SqlLedger
from protocol.errors import InputError, MissingError
from tests.support.hand_made_ledger import fill
from tests.support.postgres_server import PostgresServer


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    url = postgres.new_schema()
    ledger = SqlLedger.open(url, "demo-1")
    fill(ledger)
    ledger.close()
    return url


def test_a_url_is_a_ledger_that_needs_a_config(url: str, tmp_path: Path) -> None:
    source = find_ledger(url)
    assert (source.ledger, source.folder) == (url, None)
    with pytest.raises(MissingError, match="name a run's config with --config"):
        find_config(None, source, ())
    assert fresh_out(source, None, tmp_path) == tmp_path / "run-1-11"


def test_a_run_whose_config_names_a_server_has_its_ledger_there(url: str, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "demo-1")
    content = {
        "people": ["ann"],
        "policy": {"path": "model"},
        "prompts": {},
        "labels": {"ledger_url": url},
    }
    save_config(parse_config(content, "test"), folder.config)
    source = find_ledger(str(folder.path))
    assert (source.ledger, source.folder) == (url, folder.path)
    assert find_config(None, source, ()).labels.ledger_url == url


def test_a_password_is_refused_and_not_shown() -> None:
    with pytest.raises(InputError, match=r"^LEDGER: want postgresql://") as refused:
        find_ledger("postgresql://ann:tr0ub4dor@db/andon")
    assert "tr0ub4dor" not in str(refused.value)
