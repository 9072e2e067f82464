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
from tests.support.labels import make_assignment, make_event, make_query

CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
"""As a user would set one where the model has none."""
TEXTS = ("warm and lovely .", "cold and rude .", "fresh tea .", "dirty room .")


def query(number: int) -> ComparisonQuery:
    made = make_query(number)
    candidates = zip(made.candidates, TEXTS, strict=True)
    return replace(
        made, candidates=tuple(replace(candidate, text=text) for candidate, text in candidates)
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    queries = [query(number) for number in range(4)]
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
@pytest.mark.parametrize("style", ["conversational", "standard"])
def test_an_export_trains_in_the_reward_trainer(
    ledger: Path, tiny_model: Path, tmp_path: Path, style: Style
) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    torch.set_num_threads(1)
    out = tmp_path / "preferences.jsonl"
    assert export_run(ledger, out, "trl", style=style) == 12
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
    ledger: Path, tiny_model: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
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
    assert tokenizer.decode(made.candidates[0].token_ids) == TEXTS[0]
    assert made.prompt_token_ids == tuple(tokenizer("the soup was")["input_ids"])
