"""From a long text's node to its prompt: a passage, or summaries, and what asks for a summary."""

from __future__ import annotations

from collections.abc import Sequence

from actors.prompts.config import BooksConfig
from protocol.errors import ConfigError, InputError
from protocol.logs import logger_of
from protocol.tokenizing import PolicyTokenizer

JOINT = "\n"
"""What stands between the summaries that an upper node's prompt is made of."""

_log = logger_of("prompts")


class NodePrompts:
    """Writes the texts and tokens of nodes' prompts."""

    def __init__(
        self,
        tokenizer: PolicyTokenizer,
        config: BooksConfig,
        *,
        longest: int | None = None,
        response_tokens: int | None = None,
    ) -> None:
        """Take what reads the prompts, and check that they will have room.

        Args:
            tokenizer: The policy's.
            config: How texts are cut up, and what asks for a summary.
            longest: Tokens of a prompt at most; None: any number.
            response_tokens: Tokens of a summary at most; None: it is not known.

        Raises:
            ConfigError: A passage, or as many summaries as a node may have children, do not fit.
            InputError: The tokenizer cannot take the suffix.
        """
        self._tokenizer = tokenizer
        self._suffix = config.suffix
        self._longest = longest
        asking = len(tokenizer.prompt_ids(self._suffix, where="prompts.books.suffix"))
        joints = (config.fan_out - 1) * self.count(JOINT)
        wanted = {
            f"prompts.books.leaf_tokens {config.leaf_tokens}": config.leaf_tokens,
            f"prompts.books.fan_out {config.fan_out} times response.max_tokens {response_tokens}": (
                config.fan_out * (response_tokens or 0) + joints
            ),
        }
        for name, num_tokens in wanted.items():
            if longest is not None and num_tokens + asking > longest:
                raise ConfigError(
                    f"{name} and the suffix make prompts of up to {num_tokens + asking} tokens, "
                    f"and at most {longest} may be: lower it, raise prompts.max_tokens, or take a "
                    "model of longer context"
                )

    def count(self, text: str, where: str = "a generated book") -> int:
        """Return the tokens of a text within a prompt.

        Raises:
            InputError: The tokenizer cannot take it; names `where`.
        """
        return len(self._tokenizer.response_ids(text, where=where))

    def of_passage(self, passage: str, where: str) -> tuple[str, tuple[int, ...]]:
        """Return the prompt of a leaf, and its tokens [P].

        Args:
            passage: What is to be summed up.
            where: What errors name, e.g. "books.jsonl, line 3".

        Raises:
            InputError: The tokenizer cannot take it, or makes more tokens of it than may be.
        """
        text = passage + self._suffix
        ids = self._tokenizer.prompt_ids(text, where=where)
        if self._longest is not None and len(ids) > self._longest:
            raise InputError(
                f"{where}: a passage of it makes a prompt of {len(ids)} tokens, and at most "
                f"{self._longest} may be: lower prompts.books.leaf_tokens"
            )
        return text, ids

    def of_summaries(self, summaries: Sequence[str]) -> tuple[str, tuple[int, ...]]:
        """Return the prompt of an upper node, made of what `readable` gave, and its tokens [P].

        Where tokens of a text, read again, are more than those that were sampled, so that there is
        no room for all, the longest summaries lose words at their ends.
        """
        texts = list(summaries)
        while True:
            text = JOINT.join(each for each in texts if each) + self._suffix
            ids = self._tokenizer.prompt_ids(text, where="the summaries of a node")
            longest = max(texts, key=len)
            if self._longest is None or len(ids) <= self._longest or not longest:
                return text, ids
            texts[texts.index(longest)] = longest.rpartition(" ")[0]

    def readable(self, summary: str) -> str:
        """Return a sampled summary as it stands in a prompt: empty where it cannot be read as text.

        A policy may write the text of a control token, and not every tokenizer can read that as
        anything else.
        """
        text = summary.strip()
        try:
            self._tokenizer.prompt_ids(text + self._suffix, where="a summary")
        except InputError as error:
            _log.warning("a summary is left out of the prompt above it", why=str(error))
            return ""
        return text

    def knows_all(self, token_ids: Sequence[int]) -> bool:
        """Whether none of the tokens stands for a word that the vocabulary lacks."""
        return self._tokenizer.knows_all(token_ids)
