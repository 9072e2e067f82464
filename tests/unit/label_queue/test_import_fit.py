"""What is imported is checked against the policy, line by line, whatever form it has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from actors.tokenizer import load_tokenizer
from label_queue.exchange.imports import import_file
from label_queue.exchange.line_file import write_lines
from label_queue.exchange.record_lines import record_lines
from protocol.errors import InputError
from protocol.labels import ComparisonQuery, QueryPurpose
from protocol.model_folder import inspect_model
from tests.support.labels import make_query
from tests.support.memory_ledger import MemoryLedger
from tests.support.tiny_model import save_tiny_model


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_tiny_model(tmp_path_factory.mktemp("policy"))
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    strange = {**content["added_tokens"][0], "id": 54, "content": "<image>", "special": False}
    content["added_tokens"].append(strange)
    path.write_text(json.dumps(content))
    return folder


def taken(policy: Path, folder: Path, *chosen: str) -> int:
    path = folder / "preferences.jsonl"
    lines = [{"prompt": "the soup", "chosen": text, "rejected": "was cold"} for text in chosen]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return import_file(
        path,
        folder / "ledger.sqlite",
        at_time=0.0,
        run_id="mine",
        tokenizer=load_tokenizer(policy),
        model=inspect_model(policy),
    ).num_queries


def test_what_fits_is_taken(policy: Path, tmp_path: Path) -> None:
    assert taken(policy, tmp_path, "was warm", "was " * 62) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("was " * 63, "prompt and response are 65 tokens long and the context of .* is 64"),
        ("was <image>", r"token 54 \('<image>'\) is beyond the 54 embeddings"),
    ],
)
def test_what_does_not_is_named_by_its_line(
    policy: Path, tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(InputError, match=f"line 2: {reason}"):
        taken(policy, tmp_path, "was warm", text)
    assert not (tmp_path / "ledger.sqlite").exists()


def with_ids(
    *ids: int, prompt: tuple[int, ...] = (1, 2, 3), purpose: QueryPurpose = "train"
) -> ComparisonQuery:
    """Query "q1" whose second response has these tokens."""
    query = make_query(1, versions=(1, 1), purpose=purpose, prompt_token_ids=prompt)
    one, other = query.candidates
    return replace(query, candidates=(one, replace(other, token_ids=ids)))


def taken_whole(policy: Path, folder: Path, query: ComparisonQuery, *, is_known: bool) -> int:
    """Import a full record of two queries; return how many were taken."""
    ledger, path = MemoryLedger(), folder / "record.jsonl"
    ledger.write([make_query(0), query])
    write_lines(path, record_lines(ledger), force=True)
    model = inspect_model(policy) if is_known else None
    return import_file(path, folder / "ledger.sqlite", at_time=0.0, model=model).num_queries


LONG, STRANGE = (4,) * 62, (4, 54)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        (
            with_ids(*LONG),
            "prompt and response are 65 tokens long and the context of .* is 64: name the policy "
            "that wrote it, or leave the query and its labels out",
        ),
        (with_ids(*STRANGE), r"token 54 \('<image>'\) is beyond the 54 embeddings"),
        (with_ids(4, prompt=STRANGE), "token 54 .* is beyond the 54 embeddings"),
        (with_ids(*STRANGE, purpose="overlap"), "token 54 .* is beyond the 54 embeddings"),
    ],
)
def test_a_full_record_that_does_not_fit_is_named_by_its_line(
    policy: Path, tmp_path: Path, query: ComparisonQuery, problem: str
) -> None:
    with pytest.raises(InputError, match=f"line 3: {problem}"):
        taken_whole(policy, tmp_path, query, is_known=True)
    assert not (tmp_path / "ledger.sqlite").exists()
    assert taken_whole(policy, tmp_path, query, is_known=False) == 2


@pytest.mark.parametrize(
    "query",
    [
        with_ids(*LONG[1:]),
        with_ids(53),
        replace(with_ids(*LONG, purpose="gold"), gold_answer="q1-a"),
    ],
)
def test_a_full_record_of_which_all_that_trains_fits_is_taken(
    policy: Path, tmp_path: Path, query: ComparisonQuery
) -> None:
    assert taken_whole(policy, tmp_path, query, is_known=True) == 2
