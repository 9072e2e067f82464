"""Imported preferences are checked against the policy, line by line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actors.tokenizer import load_tokenizer
from label_queue.exchange.imports import import_file
from protocol.errors import InputError
from protocol.model_folder import inspect_model
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
