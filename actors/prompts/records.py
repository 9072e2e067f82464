"""A record's prompt, text or chat messages, checked and made into tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protocol.chat import read_messages
from protocol.errors import InputError
from protocol.language_tags import why_no_language
from protocol.logs import logger_of
from protocol.messages import ChatMessage, Prompt
from protocol.model_folder import ModelFolder
from protocol.tokenizing import PolicyTokenizer

_log = logger_of("prompts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """What becomes a chat, and with which system turn: `prompts.as_chat` and `prompts.system`."""

    as_chat: bool = False
    system: str = ""

    def of_text(self, text: str, label: str) -> tuple[ChatMessage, ...]:
        """Return the chat that a plain text is; none where it stays one.

        Raises:
            InputError: It stays one, and a system turn is to go before it.
        """
        if self.as_chat:
            return self.of_chat((ChatMessage(role="user", content=text),))
        if self.system:
            raise InputError(
                f"{label} is plain text, and prompts.system goes before chats alone: set "
                "prompts.as_chat = true, or leave prompts.system out"
            )
        return ()

    def of_chat(self, messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
        """Return a chat with its system turn."""
        if not self.system or (messages and messages[0].role == "system"):
            return messages
        return (ChatMessage(role="system", content=self.system), *messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptReader:
    """Makes the records of a source into prompts; fields as arguments of `prompt_from_record`."""

    field: str
    tokenizer: PolicyTokenizer
    longest: int | None
    model: ModelFolder | None = None
    language_field: str = ""
    turns: Turns = Turns()
    leaves_out_long: bool = False
    """Whether prompts above `longest` are left out, and not refused."""

    def prompts(
        self, records: Iterable[tuple[int, object]], *, each: str, name: str
    ) -> list[Prompt]:
        """Return the prompts of records that are given with their numbers.

        Args:
            records: (number, record).
            each: What errors name before the number, e.g. "prompts.jsonl, line".
            name: Of the source; the prompts' ids begin with it.

        Raises:
            InputError: As `prompt_from_record`; or all would be left out.
        """
        prompts = [
            prompt_from_record(
                record,
                field=self.field,
                where=f"{each} {number}",
                prompt_id=f"{name}-{number:06d}",
                tokenizer=self.tokenizer,
                longest=None if self.leaves_out_long else self.longest,
                model=self.model,
                language_field=self.language_field,
                turns=self.turns,
            )
            for number, record in records
        ]
        return self._short_enough(prompts, name) if self.leaves_out_long else prompts

    def _short_enough(self, prompts: list[Prompt], name: str) -> list[Prompt]:
        longest = self.longest
        if longest is None:
            return prompts
        kept = [prompt for prompt in prompts if len(prompt.token_ids) <= longest]
        if prompts and not kept:
            raise InputError(
                f"{name}: all {len(prompts)} prompts are longer than the {longest} tokens that one "
                "may be, and prompts.leave_out_long leaves none: raise prompts.max_tokens, or take "
                "a model of longer context"
            )
        if len(kept) < len(prompts):
            _log.warning(
                "prompts too long are left out",
                source=name,
                num_left_out=len(prompts) - len(kept),
                num_kept=len(kept),
                longest=longest,
            )
        return kept


def prompt_from_record(
    record: object,
    *,
    field: str,
    where: str,
    prompt_id: str,
    tokenizer: PolicyTokenizer,
    longest: int | None,
    model: ModelFolder | None = None,
    language_field: str = "",
    turns: Turns | None = None,
) -> Prompt:
    """Make a Prompt of one record.

    What becomes tokens, and how, is for `PolicyTokenizer.prompt_ids` to say.

    Args:
        record: A mapping with the prompt under `field`.
        field: The key.
        where: What errors name, e.g. "prompts.jsonl, line 3".
        prompt_id: The Prompt's id.
        tokenizer: The policy's.
        longest: Tokens of the longest prompt taken; None takes any.
        model: Whose embeddings the tokens must be within; None takes any token.
        language_field: The key of the prompt's language, which a record may lack; "": none.
        turns: What becomes a chat; None: what is given as one.

    Raises:
        InputError: The prompt is missing, of the wrong type, empty or too long, holds a token
            that the model has no embedding for, the tokenizer or its chat template cannot take
            it, or its language is none.
    """
    if not isinstance(record, dict) or field not in record:
        raise InputError(f'{where}: no "{field}": each record needs {{"{field}": …}}')
    content, label = record[field], f'{where}: "{field}"'
    turns = turns or Turns()
    text = ""
    messages: tuple[ChatMessage, ...] = ()
    if isinstance(content, str) and not content.strip():
        token_ids: tuple[int, ...] = ()
    elif isinstance(content, str):
        messages = turns.of_text(content, label)
        text = "" if messages else content
        token_ids = tokenizer.prompt_ids(messages or text, where=label)
    elif isinstance(content, list):
        given = read_messages(content, f"{label}, ")
        messages = turns.of_chat(given) if given else ()
        token_ids = tokenizer.prompt_ids(messages, where=label)
    else:
        raise InputError(
            f"{label} is of type {type(content).__name__}: give a text or a list of chat messages"
        )
    if not token_ids:
        raise InputError(f"{label} is empty: give at least one word")
    if longest is not None and len(token_ids) > longest:
        raise InputError(
            f"{where}: the prompt is {len(token_ids)} tokens long and at most {longest} may be: "
            "shorten it, raise prompts.max_tokens, set prompts.leave_out_long = true, or take a "
            "model of longer context"
        )
    if model is not None:
        model.check_ids(token_ids, where)
    return Prompt(
        prompt_id=prompt_id,
        text=text,
        messages=messages,
        token_ids=token_ids,
        language=language_of(record, language_field, where),
    )


def language_of(record: object, field: str, where: str) -> str:
    """Return the language that a record gives; "" where it gives none, or null as tables do.

    Args:
        record: A mapping; anything else gives none.
        field: The key; "": none.
        where: What errors name.

    Raises:
        InputError: What it gives is no language.
    """
    given = record.get(field) if field and isinstance(record, dict) else None
    if given is None or given == "":
        return ""
    problem = "is no text" if not isinstance(given, str) else why_no_language(given)
    if problem is not None:
        raise InputError(
            f'{where}: "{field}": {problem}; if it is not the language of the prompt, set '
            'prompts.language_field to the key that is, or to ""'
        )
    return str(given)
