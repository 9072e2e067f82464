"""TRL's preferences as the label side's records, for a run that trains on labels it was given.

Each line becomes a pair query, its assignment and a choice of the labeler "import". The texts are
tokenized with the policy's own tokenizer, since token ids are what a reward model learns from:
without one nothing can be imported. What no file can know is set to what is neutral: candidates
count as responses of ρ (policy version 0) at temperature 1, with log-probability 0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from label_queue.exchange.line_file import at, read_lines
from label_queue.ledger.records import Record
from protocol.errors import InputError
from protocol.labels import Assignment, Candidate, ComparisonQuery, LabelEvent, Source

LABELER = "import"
COLUMNS = ("prompt", "chosen", "rejected", "margin")


class TextTokenizer(Protocol):
    """What is asked of a Hugging Face tokenizer."""

    chat_template: str | None

    def __call__(self, text: str, *, add_special_tokens: bool = ...) -> Mapping[str, Any]:
        """Return {"input_ids": [...]}."""
        ...

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> Any:
        """Return the conversation as one text, where `tokenize` is False."""
        ...


def read_preferences(
    path: Path, tokenizer: TextTokenizer, *, run_id: str, at_time: float
) -> list[Record]:
    """Return the records of a file of preferences, every line checked.

    Args:
        path: JSON Lines, conversational or plain.
        tokenizer: The policy's.
        run_id: The run whose ledger they are for.
        at_time: Unix seconds, noted as when they came.

    Raises:
        InputError: Anything in it is wrong; line and field are named.
        MissingError: There is no such file.
    """
    records: list[Record] = []
    for number, line in read_lines(path):
        records += _LineReader(line, at(path, number), tokenizer).records(
            number, run_id=run_id, at_time=at_time
        )
    if not records:
        raise InputError(f"{path}: is empty; want one preference a line")
    return records


class _LineReader:
    """One line and how errors name it."""

    def __init__(self, line: Mapping[str, Any], where: str, tokenizer: TextTokenizer) -> None:
        for key in line:
            if key not in COLUMNS:
                raise InputError(f"{where}: {key}: unknown; want {', '.join(COLUMNS)}")
        self._line = line
        self._where = where
        self._tokenizer = tokenizer

    def records(self, number: int, *, run_id: str, at_time: float) -> list[Record]:
        """Return query, assignment and label."""
        prompt_text, prompt_ids = self._prompt()
        query_id = f"import-{number:08d}"
        candidates = tuple(
            self._candidate(column, f"{query_id}-{column}") for column in ("chosen", "rejected")
        )
        if candidates[0].text == candidates[1].text:
            raise InputError(f"{self._where}: rejected: is the same as chosen")
        query = ComparisonQuery(
            query_id=query_id,
            run_id=run_id,
            kind="pair",
            purpose="train",
            prompt_text=prompt_text,
            prompt_token_ids=prompt_ids,
            candidates=candidates,
            reward_version=0,
            reward_scores=(),
            selector=LABELER,
            selection_probability=1.0,
            labels_before=number - 1,
            created_at=at_time,
            expires_at=at_time,
        )
        assignment = Assignment(
            assignment_id=f"{query_id}/{LABELER}",
            query_id=query_id,
            labeler_id=LABELER,
            shown_order=tuple(candidate.candidate_id for candidate in candidates),
            order_seed=0,
            created_at=at_time,
            lease_until=at_time,
            page_version=LABELER,
            guideline_version="",
        )
        return [query, assignment, self._event(assignment, at_time)]

    def _event(self, assignment: Assignment, at_time: float) -> LabelEvent:
        digest = hashlib.sha256(json.dumps(self._line, sort_keys=True).encode()).hexdigest()
        return LabelEvent(
            seq=0,
            event_id=f"{assignment.assignment_id}:0",
            type="submit",
            label_id=assignment.assignment_id,
            revision=0,
            assignment_id=assignment.assignment_id,
            query_id=assignment.query_id,
            labeler_id=LABELER,
            outcome="choice",
            choice=assignment.shown_order[0],
            ranking=None,
            strength=self._strength(),
            spans=None,
            comment=None,
            shown_at=None,
            first_action_at=None,
            submitted_at=None,
            received_at=at_time,
            active_ms=None,
            source=Source(system=LABELER, external_id=assignment.query_id, payload_sha256=digest),
        )

    def _strength(self) -> int | None:
        """Return the strength of a margin that `preferences` writes; None for any other."""
        margin = self._line.get("margin")
        if margin is None:
            return None
        if isinstance(margin, bool) or not isinstance(margin, int | float):
            raise InputError(f"{self._where}: margin: want a number, got {margin!r}")
        strength = 1 + round(3 * margin)
        is_ours = 2 <= strength <= 4 and abs((strength - 1) / 3 - margin) < 1e-9
        return strength if is_ours else None

    def _prompt(self) -> tuple[str, tuple[int, ...]]:
        value = self._line.get("prompt")
        if isinstance(value, str):
            return value, self._ids("prompt", self._tokenizer(value)["input_ids"])
        messages = self._messages("prompt", value)
        shown = messages[-1]["content"]
        if self._tokenizer.chat_template is not None:
            rendered = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
            ids = self._tokenizer(rendered, add_special_tokens=False)["input_ids"]
        elif len(messages) == 1:
            ids = self._tokenizer(shown)["input_ids"]
        else:
            raise InputError(
                f"{self._where}: prompt: {len(messages)} messages need a tokenizer with a chat "
                "template; give one, or prompts of one message"
            )
        return shown, self._ids("prompt", ids)

    def _candidate(self, column: str, name: str) -> Candidate:
        value = self._line.get(column)
        if not isinstance(value, str):
            messages = self._messages(column, value)
            if len(messages) != 1:
                raise InputError(f"{self._where}: {column}: want one message, of the assistant")
            value = messages[0]["content"]
        token_ids = self._ids(column, self._tokenizer(value, add_special_tokens=False)["input_ids"])
        return Candidate(
            candidate_id=name,
            text=value,
            token_ids=token_ids,
            policy_version=0,
            temperature=1.0,
            max_tokens=len(token_ids),
            seed=None,
            engine=LABELER,
            logprob_sum=0.0,
            finish_reason="length",
        )

    def _messages(self, column: str, value: object) -> list[dict[str, str]]:
        if value is None:
            raise InputError(f"{self._where}: {column}: missing")
        if not isinstance(value, list) or not value:
            raise InputError(f"{self._where}: {column}: want a text or a list of chat messages")
        for i, message in enumerate(value):
            if not isinstance(message, dict) or set(message) != {"role", "content"}:
                raise InputError(f"{self._where}: {column}.{i}: want role and content")
            for key, text in message.items():
                if not isinstance(text, str):
                    raise InputError(f"{self._where}: {column}.{i}.{key}: want a text")
        return value

    def _ids(self, column: str, ids: Sequence[int]) -> tuple[int, ...]:
        if not ids:
            raise InputError(f"{self._where}: {column}: is empty")
        return tuple(ids)
