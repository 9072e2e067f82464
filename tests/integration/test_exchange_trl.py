"""TRL takes our export: `datasets` loads it, and `RewardTrainer` trains a few steps on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from label_queue.exchange.export import export_run
from label_queue.exchange.imports import import_file
from label_queue.exchange.preferences import Style
from label_queue.ledger.records import Record
from label_queue.ledger.sql import SqlLedger
from protocol.labels import ComparisonQuery
from protocol.messages import ChatMessage
from tests.support.labels import make_assignment, make_event, make_query

CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
"""As a user would set one where the model has none."""
TEXTS = ("warm and lovely .", "cold and rude .", "fresh tea .", "dirty room .")


TURNS = (
    ChatMessage(role="system", content="we said"),
    ChatMessage(role="user", content="the soup was"),
    ChatMessage(role="assistant", content="so ,"),
    ChatMessage(role="user", content="they said"),
)
SAID = {"conversational": ("", TURNS), "standard": ("the soup was", ())}
"""A prompt's text and messages, by the style of its file."""


def query(number: int, style: Style) -> ComparisonQuery:
    text, messages = SAID[style]
    made = make_query(number, prompt_text=text, prompt_messages=messages)
    candidates = zip(made.candidates, TEXTS, strict=True)
    return replace(
        made, candidates=tuple(replace(candidate, text=text) for candidate, text in candidates)
    )


@pytest.fixture(params=["conversational", "standard"])
def style(request: pytest.FixtureRequest) -> Style:
    style: Style = request.param
    return style


@pytest.fixture
def ledger(tmp_path: Path, style: Style) -> Path:
    queries = [query(number, style) for number in range(4)]
    records: list[Record] = [*queries, *(make_assignment(each) for each in queries)]
    for number, each in enumerate(queries):
        records.append(make_event(each, choice=0, strength=3 if number else None))
    path = tmp_path / "ledger.sqlite"
    store = SqlLedger.open(path, "run-1")
    store.write(records)
    store.close()
    return path


def load(path: Path, cache: Path) -> Any:
    from datasets import load_dataset

    return load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(cache), keep_in_memory=True
    )


@pytest.mark.filterwarnings("default")  # what the libraries warn of is not ours to mend
def test_an_export_trains_in_the_reward_trainer(
    ledger: Path, tiny_model: Path, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    torch.set_num_threads(1)
    out = tmp_path / "preferences.jsonl"
    assert export_run(ledger, out, "trl") == 12
    preferences = load(out, tmp_path / "cache")
    assert preferences.column_names == ["prompt", "chosen", "rejected", "margin"]
    assert sorted(set(preferences["margin"])) == [0.0, pytest.approx(2 / 3)]

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = CHAT_TEMPLATE
    model = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=1)
    before = model.score.weight.detach().clone()
    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(
            output_dir=str(tmp_path / "trainer"),
            max_steps=3,
            per_device_train_batch_size=4,
            learning_rate=1e-2,
            max_length=None,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_steps=1,
            dataloader_pin_memory=False,
        ),
        train_dataset=preferences,
        processing_class=tokenizer,
    )
    trainer.train()

    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert not torch.equal(before, model.score.weight)


def test_preferences_come_back_as_labels_with_the_policys_tokenizer(
    ledger: Path, tiny_model: Path, tmp_path: Path, style: Style
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    if style == "conversational":
        tokenizer.chat_template = CHAT_TEMPLATE
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    export_run(ledger, first, "trl")
    copy = tmp_path / "copy.sqlite"
    imported = import_file(first, copy, run_id="offline-1", tokenizer=tokenizer, at_time=1.0)
    assert imported.num_events == 12
    export_run(copy, second, "trl")
    assert first.read_bytes() == second.read_bytes()
    store = SqlLedger.open_to_read(copy)
    made = store.queries()[0]
    store.close()
    end = " <eos>" if style == "conversational" else ""  # a turn is ended, a text goes on
    assert tokenizer.decode(made.candidates[0].token_ids) == TEXTS[0] + end
    assert (made.prompt_text, made.prompt_messages) == SAID[style]
    said = "we said the soup was so , they said" if style == "conversational" else "the soup was"
    assert made.prompt_token_ids == tuple(tokenizer(said)["input_ids"])
