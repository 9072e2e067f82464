"""Where the responses of an imported file end: where the run's own would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from label_queue.exchange.imports import Imported, import_file
from label_queue.exchange.preference_import import WrittenEnds
from label_queue.ledger.sql import SqlLedger
from protocol.ending import EndRule
from protocol.labels import ComparisonQuery
from tests.support import tokenizers_of_all_kinds as kinds

RUN = "run-1"


def chat(content: str, role: str = "user") -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


def imported(
    tmp_path: Path, tokenizer: Any, *lines: object, ends: WrittenEnds | None = None
) -> tuple[Imported, list[ComparisonQuery]]:
    copy = tmp_path / "copy.sqlite"
    path = tmp_path / "trl.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    written = import_file(path, copy, run_id=RUN, tokenizer=tokenizer, ends=ends, at_time=7.0)
    ledger = SqlLedger.open_to_read(copy)
    queries = list(ledger.queries())
    ledger.close()
    return written, queries


CHAT_LINE = {
    "prompt": chat("hello<|im_end|>"),
    "chosen": chat("the soup<|im_end|>", role="assistant"),
    "rejected": chat("good", role="assistant"),
}


def test_responses_of_a_chat_end_with_the_models_end_token_and_hold_no_other(
    tmp_path: Path,
) -> None:
    tokenizer = kinds.chatml()
    end = tokenizer.eos_token_id
    _, [query] = imported(tmp_path, tokenizer, CHAT_LINE)
    assert query.prompt_token_ids.count(end) == 1
    for candidate, text in zip(query.candidates, ("the soup<|im_end|>", "good"), strict=True):
        assert candidate.token_ids[-1] == end
        assert candidate.token_ids.count(end) == 1
        assert candidate.text == text
        assert tokenizer.decode(list(candidate.token_ids[:-1])) == text
        assert candidate.finish_reason == "end"


def test_responses_end_as_the_runs_do(tmp_path: Path) -> None:
    tokenizer = kinds.gemma()
    eos, end_of_turn, cut = tokenizer.convert_tokens_to_ids(["<eos>", "<end_of_turn>", "."])
    ended = EndRule(mode="end_token", marker_ids=frozenset({eos, end_of_turn}))
    fixed = EndRule(mode="fixed", cut_after=4, marker_ids=frozenset({cut}))
    plain = {"prompt": "a", "chosen": " good. bad. x", "rejected": " bad"}

    (tmp_path / "ended").mkdir()
    both = WrittenEnds(of_chats=ended, of_texts=ended)
    written, queries = imported(tmp_path / "ended", tokenizer, plain, CHAT_LINE, ends=both)
    ends = [candidate.token_ids[-1] for query in queries for candidate in query.candidates]
    assert ends == [eos, eos, end_of_turn, end_of_turn]
    assert written.num_endless == 0

    (tmp_path / "fixed").mkdir()
    both = WrittenEnds(of_chats=fixed, of_texts=fixed)
    written, [query] = imported(tmp_path / "fixed", tokenizer, plain, ends=both)
    chosen, rejected = query.candidates
    assert (chosen.text, chosen.finish_reason) == (" good.", "cut")
    assert chosen.token_ids[-1] == cut
    assert (rejected.text, rejected.finish_reason) == (" bad", "length")
    assert written.num_endless == 1


def test_plain_texts_go_on_where_nothing_is_known_of_the_run(tmp_path: Path) -> None:
    tokenizer = kinds.unigram(appends=True)
    _, [query] = imported(
        tmp_path, tokenizer, {"prompt": "the soup", "chosen": " the", "rejected": " soup."}
    )
    assert tokenizer.convert_ids_to_tokens(query.prompt_token_ids) == ["<s>", "▁the", "▁soup"]
    assert [c.finish_reason for c in query.candidates] == ["length", "length"]
    assert tokenizer.eos_token_id not in query.candidates[0].token_ids


def test_a_last_turn_of_the_assistants_is_continued(tmp_path: Path) -> None:
    tokenizer = kinds.chatml()
    opened = [*chat("hello"), *chat("the soup", role="assistant")]
    _, [query] = imported(tmp_path, tokenizer, {**CHAT_LINE, "prompt": opened})
    assert tokenizer.decode(list(query.prompt_token_ids)).endswith("assistant\nthe soup")
