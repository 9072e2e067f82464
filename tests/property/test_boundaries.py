"""Whatever lies at a boundary: it is taken, or refused by an error of ours in one line."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.config_file import load_config
from cluster.run_folder import RunFolder
from cluster.starting.ports import ray_host_and_port
from cluster.watching.status import describe, read_status
from label_queue.http_client import open_client
from label_queue.labeling.guidelines import read_guidelines
from label_queue.ledger.sql import SqlLedger
from label_queue.quality.gold_tasks import read_gold
from protocol.errors import UserError
from protocol.files import read_text
from protocol.names import is_labeler_id, is_run_id, run_id_of
from tests.support.one_line import refusal_or_success

STATE: dict[str, Any] = {
    "run_id": "demo-1",
    "name": "demo",
    "seed": 1,
    "mode": "online",
    "state": "running",
    "pid": os.getpid(),
    "pid_started_at": 1.0,
    "host": os.uname().nodename,
    "url": "http://127.0.0.1:8000",
    "started_at": 2.0,
    "cord": {"is_pulled": True, "pulled_by": "ann", "reason": "it rhymes"},
}
CONFIG = """
people = ["ann"]

[run]
name = "mine"
episodes = 2048

[policy]
path = "model"

[prompts]
source = "jsonl"
path = "prompts.jsonl"

[labels]
total = 128
"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)

quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="andon-") as folder:
        yield Path(folder)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A text cut off, with bytes changed, or none of it."""
    kind = draw(st.sampled_from(("cut", "changed", "other")))
    if kind == "cut":
        return whole[: draw(st.integers(0, len(whole)))]
    if kind == "changed":
        start = draw(st.integers(0, len(whole) - 1))
        return whole[:start] + draw(st.binary(max_size=4)) + whole[start + 1 :]
    return draw(st.binary(max_size=200))


states = damaged(json.dumps(STATE).encode()) | st.builds(
    lambda key, value: json.dumps({**STATE, key: value}).encode(),
    st.sampled_from(sorted(STATE)),
    JSON,
)
configs = damaged(CONFIG.encode()) | st.text().map(lambda text: text.encode(errors="replace"))


@quick
@given(content=states)
def test_a_run_json_of_any_content_is_read_or_refused(place: Path, content: bytes) -> None:
    (place / "run.json").write_bytes(content)
    for arguments in (["status", str(place)], ["label", str(place), "--no-open", "--as", "a b"]):
        refusal_or_success(arguments)
    try:
        status = read_status(place)
    except UserError:
        return
    assert describe(status, as_json=False)
    assert json.loads(describe(status, as_json=True))["folder"] == str(place)


@quick
@given(content=configs, override=st.text(max_size=20))
def test_a_config_of_any_content_is_read_or_refused(
    place: Path, content: bytes, override: str
) -> None:
    path = place / "config.toml"
    path.write_bytes(content)
    for overrides in ((), (override,), (f"run.name={override}",), (f"{override}=1",)):
        with suppress(UserError):
            config = load_config(path, overrides)
            assert is_run_id(config.run.name)
            assert all(is_labeler_id(name) for name in config.people)


@quick
@given(address=st.text(max_size=30) | st.from_regex(r"\A[a-z0-9.\[\]:-]{0,20}:[0-9-]{0,8}\Z"))
def test_a_ray_address_of_any_form_is_taken_apart_or_refused(address: str) -> None:
    with suppress(UserError):
        found = ray_host_and_port(address)
        assert found is None or (found[0] and 1 <= found[1] <= 65535)


@quick
@given(url=st.text(max_size=30) | st.text(max_size=20).map("http://{}".format))
def test_a_url_of_any_form_gets_a_client_or_is_refused(url: str) -> None:
    import httpx

    with suppress(UserError):
        open_client(httpx.Client, url).close()


names = st.text(min_size=1, max_size=40).filter(lambda name: name not in (".", ".."))


@quick
@given(name=names, content=st.binary(max_size=100))
def test_a_path_of_any_name_leads_to_its_own_file_or_is_refused(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="andon-") as folder:
        path = Path(folder) / name.replace("/", "_")
        try:
            run = run_id_of(path)
            SqlLedger.open(path, run).close()
        except UserError:
            return
        assert is_run_id(run)
        assert path.is_file()
        assert {file.name for file in Path(folder).iterdir()} == {path.name, f"{path.name}.lock"}
        path.write_bytes(content)
        with suppress(UserError):
            assert read_guidelines(path).encode() == content.replace(b"\r\n", b"\n").replace(
                b"\r", b"\n"
            )
        with suppress(UserError):
            read_gold(path, 2)
        with suppress(UserError):
            SqlLedger.open_to_read(path).close()


@quick
@given(name=st.text(max_size=300))
def test_a_run_s_folder_of_any_name_is_made_or_refused(name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="andon-") as folder:
        path = Path(folder) / name.replace("/", "_")
        try:
            run_id = run_id_of(path)
            made = RunFolder.create(path)
            made.update_state(run_id=run_id, state="finished")
            made.write_token("ann", "secret")
        except UserError:
            return
        assert RunFolder.existing(path).read_state("run_id")["run_id"] == run_id
        assert made.read_token("ann") == "secret"
        shutil.rmtree(path)


@quick
@given(path=st.text(max_size=300))
def test_a_path_of_any_text_is_read_or_refused(path: str) -> None:
    with pytest.raises(UserError):
        read_text(Path("/nonexistent") / path.lstrip("/"), "it", "name another")
