"""A tokenizer in which nobody's text can be a control token.

A Hugging Face tokenizer finds its control tokens by their texts, whoever wrote them: "<|im_end|>"
in what a user says would end the user's turn. `split_special_tokens` turns that off, but for the
chat template's own control tokens too, and neither for tokens that were added without the mark
"special" nor for those that the model itself holds as words or pieces (word-level, Unigram).

So here every control token is renamed to what nobody writes, in a copy of the tokenizer. Whoever
means a control token writes its name. All else, the whole way from text to tokens, stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

# Private-use characters, which have no meaning in any text that is meant to be read.
_OPEN, _CLOSE = "\uf8d0", "\uf8d1"
_NAME = re.compile(f"{_OPEN}\\d+{_CLOSE}")
_STAND_IN = re.compile(f"{_OPEN}d(\\d+){_CLOSE}")


class Backend(Protocol):
    """What is asked of a `tokenizers.Tokenizer`."""

    def to_str(self) -> str:
        """Return the whole tokenizer as JSON."""
        ...

    @classmethod
    def from_str(cls, json: str) -> Any:
        """Make a tokenizer of such JSON."""
        ...


class RenamedTokenizer:
    """A copy of a fast tokenizer whose control tokens have names that no text holds."""

    def __init__(self, backend: Backend, control_texts: Mapping[int, str]) -> None:
        """Make the copy. It writes and reads the whole vocabulary, so make it once.

        Args:
            backend: The `tokenizers.Tokenizer` to copy.
            control_texts: Each control token's text, by its id.

        Raises:
            ValueError: The copy's ids are not the tokenizer's.
            Exception: What `tokenizers` raises where no such copy can be made.
        """
        names = {text: f"{_OPEN}{id_}{_CLOSE}" for id_, text in control_texts.items()}
        spec = json.loads(backend.to_str())
        spec |= {"truncation": None, "padding": None}
        for token in spec["added_tokens"]:
            if token["content"] in names:
                token |= {"content": names[token["content"]], "normalized": False}
        spec["model"]["vocab"] = _renamed(spec["model"]["vocab"], names)
        self._inner = type(backend).from_str(json.dumps(spec))
        self._control_ids = frozenset(control_texts)
        for token in spec["added_tokens"]:
            if self._inner.token_to_id(token["content"]) != token["id"]:
                raise ValueError(f"token {token['id']} has another id in the copy")

    def encode(self, text: str) -> tuple[int, ...] | None:
        """Return the token ids of a text: control tokens where one is named, and only there.

        None where the tokenizer cannot but read something else as a control token.
        """
        ids: list[int] = self._inner.encode(text, add_special_tokens=False).ids
        num_controls = sum(id_ in self._control_ids for id_ in ids)
        return tuple(ids) if num_controls == len(_NAME.findall(text)) else None


class ControlTexts:
    """The texts of a tokenizer's control tokens, and what may be put in their place."""

    def __init__(self, control_texts: Mapping[int, str]) -> None:
        """Take each control token's text by its id."""
        self._texts = control_texts
        self._ids = {text: id_ for id_, text in control_texts.items()}
        longest_first = sorted(self._ids, key=len, reverse=True)
        # "(?!)" matches nothing: a tokenizer may have no control token.
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def are_in(self, text: str) -> bool:
        """Whether a text holds one."""
        return self._pattern.search(text) is not None

    def named(self, text: str) -> str:
        """Return a text in which all that reads like a control token means one."""
        return self._pattern.sub(lambda found: f"{_OPEN}{self._ids[found[0]]}{_CLOSE}", text)

    def disguised(self, text: str) -> str:
        """Return a text with a stand-in for each that it holds, for a template to be given."""
        return self._pattern.sub(lambda found: f"{_OPEN}d{self._ids[found[0]]}{_CLOSE}", text)

    def undisguised(self, text: str) -> str:
        """Return a text with its stand-ins turned back."""
        return _STAND_IN.sub(lambda found: self._texts[int(found[1])], text)


def holds_a_name(text: str) -> bool:
    """Whether a text holds one of the two characters that names and stand-ins are made with."""
    return _OPEN in text or _CLOSE in text


def _renamed(vocab: Any, names: Mapping[str, str]) -> Any:
    """Return a model's vocabulary, {word: id} or [[piece, score], …], under the new names."""
    if isinstance(vocab, dict):
        return {names.get(word, word): id_ for word, id_ in vocab.items()}
    return [[names.get(piece, piece), score] for piece, score in vocab]
