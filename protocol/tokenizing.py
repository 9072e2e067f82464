"""Texts to token ids and back: the one rule for prompts, imports, normalisation texts and pages.

Data is read as data: what somebody wrote is never a control token, even where it reads like one.
Control tokens come from the tokenizer, which may put some before a plain prompt; from the chat
template; and from the model, which ends a response with one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

from protocol.control_tokens import ControlTexts, RenamedTokenizer, holds_a_name
from protocol.ending import EndRule
from protocol.errors import InputError
from protocol.messages import ChatMessage
from protocol.said import said_by
from protocol.shown_text import Decoder, ShownText, spelled

# A line feed is a token of its own in tokenizers that put a space before what comes first.
_ANCHOR = "\n"
_NEUTRAL = "a"


class Tokenizer(Decoder, Protocol):
    """What is asked of a Hugging Face tokenizer, fast or slow."""

    chat_template: Any
    """Jinja text of the chat template; None: the model is no chat model."""

    def __call__(self, text: str, *, add_special_tokens: bool) -> Mapping[str, Any]:
        """Return {"input_ids": [...]}."""
        ...

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of the tokens with a role: begin, end, padding, unknown."""
        ...

    @property
    def added_tokens_decoder(self) -> Mapping[int, Any]:
        """Added tokens by id, each with `content` and `special`."""
        ...

    @property
    def bos_token_id(self) -> int | None:
        """Id of the token that begins a text."""
        ...

    @property
    def eos_token_id(self) -> int | None:
        """Id of the token that ends a text."""
        ...

    @property
    def unk_token_id(self) -> int | None:
        """Id of the token that stands for unknown words."""
        ...

    def apply_chat_template(
        self,
        conversation: list[dict[str, str]],
        *,
        tokenize: bool,
        add_generation_prompt: bool,
        continue_final_message: bool,
    ) -> Any:
        """Return the conversation as one text, where `tokenize` is False."""
        ...


class PolicyTokenizer:
    """The policy's tokenizer, as all of Andon uses it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Wrap a Hugging Face tokenizer, which must not change from here on."""
        self._inner = tokenizer

    @property
    def has_chat_template(self) -> bool:
        """Whether it takes chat messages."""
        return bool(self._inner.chat_template)

    @property
    def eos_token_id(self) -> int | None:
        """The one end token that the tokenizer itself knows, if it has one."""
        return self._inner.eos_token_id

    def prompt_ids(self, prompt: str | Sequence[ChatMessage], *, where: str) -> tuple[int, ...]:
        """Return the tokens [P] after which a response is sampled.

        A text gets the tokens that the tokenizer puts before it and none that it puts after; a
        begin token written out at its head is that one token, not a second. Messages go through
        the chat template, up to where the assistant is to speak; a last turn of the assistant's
        is left open, to be continued.

        Args:
            prompt: A text, or the turns of a chat.
            where: What errors name, e.g. 'prompts.jsonl, line 3: "prompt"'.

        Raises:
            InputError: The tokenizer or its chat template cannot take it.
        """
        if not isinstance(prompt, str):
            return self._chat_ids(list(prompt), where) if prompt else ()
        return (*self._prefix_ids, *self._data_ids(prompt.removeprefix(self._begin), where))

    def response_ids(self, text: str, *, where: str) -> tuple[int, ...]:
        """Return the tokens [T] of a response that somebody wrote, without an end token.

        It is read as what follows a prompt: no space is put before it.

        Raises:
            InputError: The tokenizer cannot take it.
        """
        anchor_ids = self._anchor_ids
        if anchor_ids:
            ids = self._data_ids(_ANCHOR + text, where)
            if ids[: len(anchor_ids)] == anchor_ids:
                return ids[len(anchor_ids) :]
        return self._data_ids(text, where)

    def rendered_ids(self, text: str, *, where: str) -> tuple[int, ...]:
        """Return the tokens of a text in which control tokens are written out, as templates do.

        Only for texts of programs that mean them: what people wrote is data, see `prompt_ids`.

        Raises:
            InputError: The tokenizer cannot take it.
        """
        return self._checked_ids(text, where, add_special_tokens=False)

    def written_ids(
        self, text: str, rule: EndRule, *, is_chat: bool, where: str
    ) -> tuple[int, ...]:
        """Return the tokens [T] of a written response as `kept_ids` has them.

        Raises:
            InputError: The tokenizer cannot take the text.
        """
        return self.kept_ids(self.response_ids(text, where=where), rule, is_chat=is_chat)

    def kept_ids(
        self, token_ids: tuple[int, ...], rule: EndRule, *, is_chat: bool
    ) -> tuple[int, ...]:
        """Return the tokens of a written response [T] that would be kept of a sampled one.

        In mode "end_token" it gets the end token that the model would end it with; of a fixed
        response, what comes after the cut is left off. One without a cut token is kept whole.

        Args:
            token_ids: From `response_ids`.
            rule: The run's.
            is_chat: Whether the prompt is a chat, whose turns may end with another token.
        """
        if rule.mode == "end_token":
            token_ids = rule.closed(token_ids, self.end_id(rule.marker_ids, is_chat=is_chat))
        return token_ids[: rule.find(token_ids).num_kept]

    def shown_text(self, token_ids: Sequence[int]) -> str:
        """Return what people are shown of tokens: all of them, as `ShownText` says."""
        return self._shown.text(token_ids)

    def shown_spans(self, token_ids: Sequence[int]) -> list[tuple[int, int]]:
        """Return where in `shown_text` each token is shown, [T] of (start, end) in characters."""
        return self._shown.spans(token_ids)

    def ids_reading(self, text: str) -> frozenset[int]:
        """Return all tokens that read `text`, alone or after others; none may do.

        "▁." and "." of SentencePiece both read "."; " ." of a byte-level tokenizer reads " .",
        which is another text. Goes through the whole vocabulary, so ask once.
        """
        return self._shown.ids_reading(text)

    def end_id(self, end_ids: frozenset[int], *, is_chat: bool) -> int | None:
        """Return the token with which the model would end a response; None where there is none.

        In a chat it is the one that the template writes after an assistant's turn.

        Args:
            end_ids: All that end a response.
            is_chat: Whether the prompt is a chat.
        """
        if is_chat and self._inner.chat_template:
            for token_id in self._after_a_turn:
                if token_id in end_ids:
                    return token_id
        if self._inner.eos_token_id in end_ids:
            return self._inner.eos_token_id
        return min(end_ids, default=None)

    def reads_like_control(self, text: str) -> bool:
        """Whether a control token's text is in a plain prompt, its begin token's head aside."""
        return self._controls.are_in(text.removeprefix(self._begin))

    def knows_all(self, token_ids: Sequence[int]) -> bool:
        """Whether none of the tokens stands for a word that the vocabulary lacks."""
        return self._inner.unk_token_id not in token_ids

    # --- how data is kept from being control ---------------------------------------------------

    def _data_ids(self, text: str, where: str) -> tuple[int, ...]:
        if self._would_be_control(text, where):
            return self._guarded_ids(text, text, where)
        return self.rendered_ids(text, where=where)

    def _would_be_control(self, text: str, where: str) -> bool:
        return not self._control_texts.keys().isdisjoint(self.rendered_ids(text, where=where))

    def _chat_ids(self, messages: list[ChatMessage], where: str) -> tuple[int, ...]:
        if not any(self._would_be_control(turn.content, where) for turn in messages):
            return self.rendered_ids(self._rendered(messages, where), where=where)
        # The template is given stand-ins, so that what it writes itself can be told from data.
        texts = self._controls
        disguised = [replace(turn, content=texts.disguised(turn.content)) for turn in messages]
        named = texts.undisguised(texts.named(self._rendered(disguised, where)))
        return self._guarded_ids(named, "".join(turn.content for turn in messages), where)

    def _guarded_ids(self, text: str, data: str, where: str) -> tuple[int, ...]:
        """Return the tokens of a text in which control tokens are named, or refuse its data."""
        ids = None
        if self._renamed is not None and not holds_a_name(data):
            ids = self._renamed.encode(text)
        if ids is None:
            found = [control for control in self._control_texts.values() if control in data]
            raise InputError(
                f"{where}: holds {', '.join(map(repr, found)) or 'a control token'}, which the "
                "policy's tokenizer cannot read as text: write it in another way"
            )
        return ids

    @cached_property
    def _control_texts(self) -> dict[int, str]:
        """Each control token's text, by its id; not the unknown word's, which any text may hold."""
        added = self._inner.added_tokens_decoder
        ids = {id_ for id_, token in added.items() if token.special or id_ in self._turn_ids}
        ids = (ids | set(self._inner.all_special_ids)) - {self._inner.unk_token_id}
        return {id_: spelled(self._inner, id_) for id_ in sorted(ids)}

    @cached_property
    def _controls(self) -> ControlTexts:
        return ControlTexts(self._control_texts)

    @cached_property
    def _turn_ids(self) -> frozenset[int]:
        """Tokens that the chat template writes around any turn, marked special or not."""
        if not self._inner.chat_template:
            return frozenset()
        turn = ChatMessage(role="user", content=_NEUTRAL)
        with suppress(InputError):  # a template that refuses it will refuse the prompt itself
            return frozenset(self.rendered_ids(self._rendered([turn], ""), where=""))
        return frozenset()

    @cached_property
    def _renamed(self) -> RenamedTokenizer | None:
        backend = getattr(self._inner, "backend_tokenizer", None)
        if backend is None:
            return None
        try:
            return RenamedTokenizer(backend, self._control_texts)
        except Exception:  # noqa: BLE001  # the Rust library raises bare ones; data is refused then
            return None

    # --- the tokenizer's boundary: what it raises becomes ours ---------------------------------

    def _checked_ids(self, text: str, where: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"{where}: character {error.start} is {text[error.start]!a}, half of a "
                "surrogate pair: write whole characters"
            ) from None
        try:
            return tuple(self._inner(text, add_special_tokens=add_special_tokens)["input_ids"])
        except Exception as error:
            raise InputError(
                f"{where}: the policy's tokenizer cannot read it ({said_by(error)}): change the "
                "text, or mend the tokenizer"
            ) from error

    def _rendered(
        self, messages: Sequence[ChatMessage], where: str, *, is_closed: bool = False
    ) -> str:
        """Return the chat as its template writes it; closed: without room for what comes next."""
        if not self._inner.chat_template:
            raise InputError(
                f"{where}: chat messages, but the tokenizer has no chat template: give texts, or "
                "a model whose tokenizer has one"
            )
        is_continued = messages[-1].role == "assistant"
        try:
            return str(
                self._inner.apply_chat_template(
                    [{"role": turn.role, "content": turn.content} for turn in messages],
                    tokenize=False,
                    add_generation_prompt=not is_continued,
                    continue_final_message=is_continued and not is_closed,
                )
            )
        except Exception as error:
            raise InputError(
                f"{where}: the model's chat template refuses these messages "
                f"({said_by(error)}): give turns that it takes, or another template"
            ) from error

    @cached_property
    def _prefix_ids(self) -> tuple[int, ...]:
        """What the tokenizer puts before a text."""
        bare = self.rendered_ids(_NEUTRAL, where="")
        full = self._checked_ids(_NEUTRAL, "", add_special_tokens=True)
        starts = range(len(full) - len(bare) + 1)
        start = next((i for i in starts if full[i : i + len(bare)] == bare), 0)
        return full[:start]

    @cached_property
    def _begin(self) -> str:
        """The text of the begin token, where the tokenizer puts it before texts; else empty."""
        bos_token_id = self._inner.bos_token_id
        return self._control_texts[bos_token_id] if bos_token_id in self._prefix_ids else ""

    @cached_property
    def _anchor_ids(self) -> tuple[int, ...]:
        return self.rendered_ids(_ANCHOR, where="")

    @cached_property
    def _after_a_turn(self) -> tuple[int, ...]:
        """The tokens that the template writes after an assistant's turn."""
        turns = [ChatMessage(role=role, content=_NEUTRAL) for role in ("user", "assistant")]
        opened = self._rendered(turns, "the chat template")
        closed = self._rendered(turns, "the chat template", is_closed=True)
        return self.rendered_ids(closed.removeprefix(opened), where="the chat template")

    @cached_property
    def _shown(self) -> ShownText:
        unknown = self._inner.unk_token_id
        return ShownText(
            self._inner,
            anchor_ids=self._anchor_ids,
            broken_ids=self.response_ids("\ufffd", where=""),
            control_ids=frozenset(self._control_texts)
            | ({unknown} if unknown is not None else set()),
        )
