"""A whole run where every path holds every printable character, behind proxies that lead nowhere.

It listens on IPv6's loopback and has a public address, and its labeler's name and its own are at
the edge of the rule.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster.cli import main
from label_queue.exchange.imports import import_file
from label_queue.ledger.sql import SqlLedger
from protocol.bearer import REWARD_TOKEN
from protocol.names import is_run_id, run_id_of
from tests.support.labels import answers
from tests.support.odd_names import EVERY_CHARACTER, OTHER_CHARACTERS
from tests.support.patience import PATIENCE_S
from tests.support.run_process import RunProcess, save_inputs

pytestmark = pytest.mark.timeout(1800)

PRAISE = "very good and the staff were kind . i loved the soup ."
BLAME = "very bad and the staff were rude . i hated the soup ."
"""So far apart that the labeler, who chooses by chance, never errs: who errs is suspended."""
LABELER = "a.b_c@d:e+f-1"
NOWHERE = "127.0.0.1:1"
PROXIES = {
    "http_proxy": f"http://{NOWHERE}",
    "https_proxy": f"http://{NOWHERE}",
    "grpc_proxy": f"http://{NOWHERE}",
    "ALL_PROXY": f"socks5://{NOWHERE}",
    "no_proxy": "example.org",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of an odd name, with a model, prompts, guidelines and gold in it."""
    place = tmp_path_factory.mktemp("odd") / EVERY_CHARACTER
    place.mkdir()
    save_inputs(place)
    (place / "guide.md").write_text("# Prefer the longer one\n")
    gold = {"prompt": "the soup was", "candidates": [PRAISE, BLAME], "answer": 0}
    (place / "gold.jsonl").write_text(json.dumps(gold) + "\n")
    return place


def test_the_labels_are_in_the_run_and_nowhere_else(place: Path) -> None:
    settings = (
        "people=[]",
        f'labelers=[{{name="{LABELER}",seconds_per_label=0.01}}]',
        f"labels.guidelines={place / 'guide.md'}",
        f"labels.quality.gold.path={place / 'gold.jsonl'}",
        "cluster.http_host=::1",
        "cluster.public_url=https://label.example.org/run-a",
    )
    run = RunProcess(place, place / OTHER_CHARACTERS, settings, PROXIES)
    try:
        assert run.wait(2 * PATIENCE_S) == 0, run.output
    finally:
        run.kill()
    assert run.error_output == ""
    state = run.state
    assert state["state"] == "finished"
    assert state["url"].startswith("http://[::1]:")
    assert state["pages_url"] == "https://label.example.org/run-a"
    assert (run.folder.tokens / REWARD_TOKEN).stat().st_mode & 0o777 == 0o600
    assert state["run_id"] == run_id_of(run.folder.path)
    assert is_run_id(state["run_id"])

    ledger = SqlLedger.open_to_read(run.folder.ledger)
    events = ledger.events()
    ledger.close()
    assert len(events) == state["labels_acknowledged"] >= 16
    assert {event.labeler_id for event in answers(events)} == {LABELER}
    ledgers = [path for path in place.parent.rglob("*sqlite*") if path.suffix == ".sqlite"]
    assert ledgers == [run.folder.ledger]
    assert (run.folder.report / "index.html").is_file()
    assert list(run.folder.wandb.glob("offline-run-*/run-*.wandb"))

    out = place / f"{OTHER_CHARACTERS}.jsonl"
    exported = CliRunner().invoke(
        main, ["export", str(run.folder.path), "--format", "andon", "--out", str(out)]
    )
    assert exported.exit_code == 0, exported.output
    copy = import_file(out, place / f"copy of {OTHER_CHARACTERS}.sqlite", at_time=0.0)
    assert (copy.run_id, copy.num_events) == (state["run_id"], len(events))
