"""TRL's preferences as the label side's records, for a run that trains on labels it was given.

Each line becomes a pair query, its assignment and a choice of the labeler "import". The texts are
tokenized with the policy's own tokenizer, since token ids are what a reward model learns from:
without one nothing can be imported. They are kept up to where the run's own responses end. What no
file can know is set to what is neutral: candidates count as responses of ρ (policy version 0) at
temperature 1, with log-probability 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from label_queue.exchange.line_file import NumberedLine
from label_queue.exchange.model_fit import check_fit
from label_queue.ledger.records import Record
from protocol.chat import read_messages
from protocol.distinct import is_comparison
from protocol.ending import EndRule
from protocol.errors import InputError
from protocol.json_digest import json_digest
from protocol.json_lines import line_of
from protocol.labels import Assignment, Candidate, ComparisonQuery, Source, Submitted
from protocol.messages import ChatMessage
from protocol.model_folder import ModelFolder
from protocol.tokenizing import PolicyTokenizer

LABELER = "import"
COLUMNS = ("prompt", "chosen", "rejected", "margin")
LARGEST_MARGIN = 1e6
TOO_LONG = "leave the line out, or take a model of longer context"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenEnds:
    """Where responses end that come from a file: where those sampled in the run will."""

    of_chats: EndRule
    """Where responses to chats end."""
    of_texts: EndRule
    """Where responses to plain prompts end."""

    @classmethod
    def unknown(cls, end_ids: frozenset[int]) -> WrittenEnds:
        """Return what holds of most runs: a turn is ended, a text goes on.

        Args:
            end_ids: The model's end tokens; none: turns go on, too.
        """
        goes_on = EndRule(mode="fixed", marker_ids=frozenset())
        ended = EndRule(mode="end_token", marker_ids=end_ids) if end_ids else goes_on
        return cls(of_chats=ended, of_texts=goes_on)

    def of(self, *, is_chat: bool) -> EndRule:
        """Return the rule after a chat, or after a plain prompt."""
        return self.of_chats if is_chat else self.of_texts


def read_preferences(
    path: Path,
    lines: Iterable[NumberedLine],
    tokenizer: PolicyTokenizer,
    ends: WrittenEnds,
    *,
    run_id: str,
    at_time: float,
    model: ModelFolder | None = None,
) -> list[Record]:
    """Return the records of a file of preferences, every line checked.

    Args:
        path: Names the file in errors.
        lines: Its lines, conversational or plain.
        tokenizer: The policy's.
        ends: Where responses end in the run they are for.
        run_id: The run whose ledger they are for.
        at_time: Unix seconds, noted as when they came.
        model: The policy, whose context and embeddings the texts must be within; None: any fit.

    Raises:
        InputError: Anything in it is wrong; line and field are named.
        MissingError: There is no such file, said when its first line is asked for.
    """
    records: list[Record] = []
    for number, line in lines:
        made = _LineReader(line, line_of(path, number), tokenizer, ends).records(
            number, run_id=run_id, at_time=at_time
        )
        if model is not None:
            check_fit(made[0], model, line_of(path, number), TOO_LONG)
        records += made
    if not records:
        raise InputError(f"{path}: is empty; want one preference a line")
    return records


class _LineReader:
    """One line and how errors name it."""

    def __init__(
        self, line: Mapping[str, Any], where: str, tokenizer: PolicyTokenizer, ends: WrittenEnds
    ) -> None:
        for key in line:
            if key not in COLUMNS:
                raise InputError(f"{where}: {key}: unknown; want {', '.join(COLUMNS)}")
        self._line = line
        self._where = where
        self._tokenizer = tokenizer
        self._ends = ends

    def records(
        self, number: int, *, run_id: str, at_time: float
    ) -> tuple[ComparisonQuery, Assignment, Submitted]:
        """Return query, assignment and label."""
        prompt_text, prompt_messages = self._prompt()
        query_id = f"import-{number:08d}"
        candidates = tuple(
            self._candidate(column, f"{query_id}-{column}", is_chat=bool(prompt_messages))
            for column in ("chosen", "rejected")
        )
        if not is_comparison(candidates):
            raise InputError(
                f"{self._where}: rejected: is the same as chosen, to people or to the policy's "
                "tokenizer"
            )
        query = ComparisonQuery(
            query_id=query_id,
            run_id=run_id,
            kind="pair",
            purpose="train",
            prompt_text=prompt_text,
            prompt_messages=prompt_messages,
            prompt_token_ids=self._prompt_ids(prompt_text, prompt_messages),
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
            shown_order=_shuffled(candidates),
            order_seed=0,
            created_at=at_time,
            lease_until=at_time,
            page_version=LABELER,
            guideline_version="",
        )
        return query, assignment, self._event(assignment, at_time)

    def _event(self, assignment: Assignment, at_time: float) -> Submitted:
        return Submitted(
            seq=0,
            event_id=f"{assignment.assignment_id}:0",
            label_id=assignment.assignment_id,
            revision=0,
            assignment_id=assignment.assignment_id,
            query_id=assignment.query_id,
            labeler_id=LABELER,
            outcome="choice",
            choice=f"{assignment.query_id}-chosen",
            ranking=None,
            strength=self._strength(),
            spans=None,
            comment=None,
            shown_at=None,
            first_action_at=None,
            submitted_at=None,
            received_at=at_time,
            active_ms=None,
            source=Source(
                system=LABELER,
                external_id=assignment.query_id,
                payload_sha256=json_digest(self._line),
            ),
        )

    def _strength(self) -> int | None:
        """Return the strength of a margin that `preferences` writes; None for any other."""
        margin = self._line.get("margin")
        if margin is None:
            return None
        is_number = isinstance(margin, int | float) and not isinstance(margin, bool)
        if not is_number or not abs(margin) <= LARGEST_MARGIN:
            raise InputError(f"{self._where}: margin: want a number, got {margin!r}")
        strength = 1 + round(3 * margin)
        is_ours = 2 <= strength <= 4 and abs((strength - 1) / 3 - margin) < 1e-9
        return strength if is_ours else None

    def _prompt(self) -> tuple[str, tuple[ChatMessage, ...]]:
        """Return the prompt: a text and no messages, or the other way round."""
        value = self._line.get("prompt")
        if isinstance(value, str):
            return value, ()
        messages = read_messages(self._list("prompt", value), f"{self._where}: prompt: ")
        if self._tokenizer.has_chat_template:
            return "", messages
        # Where nothing is a chat, one message is how others write a plain prompt.
        if len(messages) == 1:
            return messages[0].content, ()
        raise InputError(
            f"{self._where}: prompt: {len(messages)} messages need a tokenizer with a chat "
            "template; give one, or prompts of one message"
        )

    def _prompt_ids(self, text: str, messages: tuple[ChatMessage, ...]) -> tuple[int, ...]:
        ids = self._tokenizer.prompt_ids(messages or text, where=f"{self._where}: prompt")
        return self._filled("prompt", ids)

    def _candidate(self, column: str, name: str, *, is_chat: bool) -> Candidate:
        value = self._line.get(column)
        if not isinstance(value, str):
            messages = self._list(column, value)
            if len(messages) != 1:
                raise InputError(f"{self._where}: {column}: want one message, of the assistant")
            value = self._said_by_assistant(f"{column}.0", messages[0])
        rule, where = self._ends.of(is_chat=is_chat), f"{self._where}: {column}"
        whole = self._tokenizer.response_ids(value, where=where)
        token_ids = self._tokenizer.kept_ids(self._filled(column, whole), rule, is_chat=is_chat)
        return Candidate(
            candidate_id=name,
            # As given, unless some of it was left off.
            text=value if len(token_ids) >= len(whole) else self._tokenizer.shown_text(token_ids),
            token_ids=token_ids,
            policy_version=0,
            temperature=1.0,
            max_tokens=len(token_ids),
            seed=None,
            engine=LABELER,
            logprob_sum=0.0,
            finish_reason=rule.find(token_ids).finish_reason,
        )

    def _list(self, column: str, value: object) -> list[Any]:
        if value is None:
            raise InputError(f"{self._where}: {column}: missing")
        if not isinstance(value, list) or not value:
            raise InputError(f"{self._where}: {column}: want a text or a list of chat messages")
        return value

    def _said_by_assistant(self, place: str, message: object) -> str:
        """Return a response; unlike a turn that was given, it may be blank."""
        said = message if isinstance(message, dict) else {}
        filled = {key: value for key, value in said.items() if value is not None}
        if set(filled) != {"role", "content"} or said["role"] != "assistant":
            raise InputError(f"{self._where}: {place}: want role and content, of the assistant")
        if not isinstance(said["content"], str):
            raise InputError(f"{self._where}: {place}.content: want a text")
        return said["content"]

    def _filled(self, column: str, ids: tuple[int, ...]) -> tuple[int, ...]:
        if not ids:
            raise InputError(f"{self._where}: {column}: is empty")
        return ids


def _shuffled(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Return the candidates' ids in an order that does not tell which was chosen.

    What order people saw is not known; if the chosen one stood first each time, whoever looks for
    labelers who click at the first would find one.
    """
    names = [each.candidate_id for each in candidates]
    return tuple(sorted(names, key=lambda name: hashlib.blake2b(name.encode()).digest()))
