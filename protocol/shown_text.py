"""Tokens as the people see them who judge them: whatever was sampled is to be seen.

A control token is shown as "⟨<|im_end|>⟩"; a token that makes no text, or bytes that make no
character, as "⟨token 233⟩". Text that would read like one of these has its "⟨" shown as
"⟨U+27E8⟩". So responses that differ in more than how the same text is cut into tokens look
different.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, groupby, takewhile
from typing import Any, Protocol

_BROKEN = "\ufffd"
_MOST_TOKENS_A_CHARACTER = 4  # as it has at most four bytes


class Decoder(Protocol):
    """What is asked of a Hugging Face tokenizer to read tokens back."""

    def __len__(self) -> int:
        """Return the size of the vocabulary, added tokens included."""
        ...

    def convert_ids_to_tokens(self, ids: list[int]) -> Any:
        """Return the tokens as the vocabulary spells them; None for ids that it lacks."""
        ...

    def decode(
        self,
        token_ids: list[int],
        *,
        skip_special_tokens: bool,
        clean_up_tokenization_spaces: bool,
    ) -> Any:
        """Return the text of tokens."""
        ...


def spelled(tokenizer: Decoder, token_id: int) -> str:
    """Return a token as the vocabulary spells it, "token 99" if it is not in there."""
    [token] = tokenizer.convert_ids_to_tokens([token_id])
    return f"token {token_id}" if token is None else str(token)


class ShownText:
    """What people are shown of tokens."""

    def __init__(
        self,
        tokenizer: Decoder,
        *,
        anchor_ids: tuple[int, ...],
        broken_ids: tuple[int, ...],
        control_ids: frozenset[int],
    ) -> None:
        """Take the tokenizer, and what decoding does not tell.

        Args:
            tokenizer: The policy's.
            anchor_ids: Tokens after which what follows is spaced as within a text: a first
                "▁warm" of SentencePiece would lose its space. Empty if the tokenizer has none.
            broken_ids: Those of the replacement character U+FFFD itself, which other tokens only
                read like.
            control_ids: Tokens that are no text.
        """
        self._tokenizer = tokenizer
        self._anchor_ids = anchor_ids
        self._broken_ids = broken_ids
        self._control_ids = control_ids
        self._plain_ids: dict[int, bool] = {}

    def text(self, token_ids: Sequence[int]) -> str:
        """Return what is shown of a response's tokens."""
        parts: list[str] = []
        context = self._anchor_ids
        for is_plain, run in groupby(token_ids, self._is_plain):
            ids = tuple(run)
            if is_plain:
                parts.append(self._plain(context, ids))
                context = ids  # what follows is spaced as it is after this
                continue
            for token_id in ids:
                parts.append(self._escape(context, token_id))
                context = (token_id,)
        return "".join(parts)

    def spans(self, token_ids: Sequence[int]) -> list[tuple[int, int]]:
        """Return where in `text` each token is shown, [T] of (start, end) in characters.

        Tokens that are one character together are all shown where it is.
        """
        whole = self.text(token_ids)
        shown = self._character_by_character(token_ids)
        if "".join(shown) == whole:
            ends = list(accumulate(map(len, shown)))
        else:
            # What is shown of a beginning ends otherwise where it cuts a character.
            beginnings = (self.text(token_ids[:num]) for num in range(1, len(token_ids) + 1))
            ends = [_length_in_common(beginning, whole) for beginning in beginnings]
        found, start, waiting = [], 0, 0
        for end in ends:
            waiting += 1
            if end > start:
                found += [(start, end)] * waiting
                start, waiting = end, 0
        return found + [(start, len(whole))] * waiting

    def _character_by_character(self, token_ids: Sequence[int]) -> list[str]:
        """Return what is shown of each token after those before it, [T].

        Of tokens that are one character together, the last one shows it.
        """
        parts: list[str] = []
        context, ids = self._anchor_ids, tuple(token_ids)
        while ids:
            if not self._is_plain(ids[0]):
                num_read, part = 1, self._escape(context, ids[0])
            else:
                run = tuple(takewhile(self._is_plain, ids[:_MOST_TOKENS_A_CHARACTER]))
                num_read, text = self._first_characters(context, run)
                part = self._escaped(text) if num_read else f"⟨token {ids[0]}⟩"
                num_read = max(num_read, 1)
            parts += [""] * (num_read - 1) + [part]
            context, ids = ids[:num_read], ids[num_read:]
        return parts

    def ids_reading(self, text: str) -> frozenset[int]:
        """Return all tokens of the vocabulary that read `text`, alone or after others."""
        found = set()
        for token_id in range(len(self._tokenizer)):
            alone = self._decoded((token_id,))
            if alone == text:
                found.add(token_id)
            elif text.strip(" ") in alone:  # "▁." reads "." alone, and " ." after others
                after = self._after(self._anchor_ids, (token_id,))
                found.update({token_id} if after == text else ())
        return frozenset(found)

    def _is_plain(self, token_id: int) -> bool:
        if token_id not in self._plain_ids:
            is_known = self._tokenizer.convert_ids_to_tokens([token_id]) != [None]
            self._plain_ids[token_id] = is_known and token_id not in self._control_ids
        return self._plain_ids[token_id]

    def _escape(self, context: tuple[int, ...], token_id: int) -> str:
        name = spelled(self._tokenizer, token_id)
        text = self._after(context, (token_id,))
        # A tokenizer of whole words puts a space before it.
        space = text[: -len(name)] if text.endswith(name) else ""
        return f"{space if space.isspace() else ''}⟨{name}⟩"

    def _plain(self, context: tuple[int, ...], ids: tuple[int, ...]) -> str:
        text = self._after(context, ids)
        if _BROKEN not in text:
            return self._escaped(text)
        parts: list[str] = []
        while ids:
            num_read, part = self._first_characters(context, ids)
            if num_read:
                context = ids[:num_read]
                parts.append(self._escaped(part))
            else:
                parts.append(f"⟨token {ids[0]}⟩")
            ids = ids[max(num_read, 1) :]
        return "".join(parts)

    def _first_characters(self, context: tuple[int, ...], ids: tuple[int, ...]) -> tuple[int, str]:
        """Return how many tokens make the first whole characters, and these; none may."""
        for num in range(1, min(len(ids), _MOST_TOKENS_A_CHARACTER) + 1):
            text = self._after(context, ids[:num])
            if _BROKEN not in text or ids[:num] == self._broken_ids:
                return num, text
        return 0, ""

    def _after(self, context: tuple[int, ...], ids: tuple[int, ...]) -> str:
        """Return the text of tokens as it is after others."""
        head, whole = self._decoded(context), self._decoded(context + ids)
        return whole[len(head) :] if whole.startswith(head) else self._decoded(ids)

    def _decoded(self, ids: tuple[int, ...]) -> str:
        # A "clean-up" of spaces would make different responses look alike.
        return str(
            self._tokenizer.decode(
                list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    def _escaped(self, text: str) -> str:
        return self._reads_like_escape.sub("⟨U+27E8⟩", text)

    @cached_property
    def _reads_like_escape(self) -> re.Pattern[str]:
        names = [re.escape(spelled(self._tokenizer, token_id)) for token_id in self._control_ids]
        return re.compile(rf"⟨(?=(?:token \d+|U\+27E8|{'|'.join(names)})⟩)")


def _length_in_common(one: str, other: str) -> int:
    """Return how many characters two texts begin with alike."""
    pairs = zip(one, other, strict=False)
    differing = (place for place, (x, y) in enumerate(pairs) if x != y)
    return next(differing, min(len(one), len(other)))
