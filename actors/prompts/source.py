"""From a config to a prompt source, and the three kinds of source there are.

In two, prompt number n is a pure function of (seed, n): `GeneratedPrompts` (in `generated`) write
it afresh, `FilePrompts` finds it in the shuffled order of its epoch. `BookPrompts` (in
`book_prompts`) are made of responses too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.prompts.article_prompts import ArticlePrompts
from actors.prompts.book_files import read_books
from actors.prompts.book_prompts import BookPrompts
from actors.prompts.config import PromptsConfig
from actors.prompts.dialogue_prompts import DialoguePrompts
from actors.prompts.epochs import Epochs
from actors.prompts.generated import GeneratedPrompts
from actors.prompts.hub import read_hub
from actors.prompts.jsonl import read_jsonl
from actors.prompts.node_prompts import NodePrompts
from actors.prompts.records import PromptReader, Turns
from actors.prompts.reviews import ReviewPrompts
from actors.prompts.shelves import FileShelf, GeneratedShelf, Shelf
from protocol.errors import ConfigError
from protocol.logs import logger_of
from protocol.messages import Prompt
from protocol.model_folder import ModelFolder
from protocol.tokenizing import PolicyTokenizer, Tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence


_log = logger_of("prompts")


class FilePrompts:
    """An endless stream of a finite list: epoch after epoch, each shuffled anew."""

    def __init__(self, prompts: Sequence[Prompt], *, seed: int, shuffle: bool) -> None:
        """Take the list, which must not be empty, and what orders it."""
        self._prompts = tuple(prompts)
        self._epochs = Epochs(len(self._prompts), seed=seed, shuffle=shuffle)
        self._shuffle = shuffle
        self._num_drawn = 0

    def reseeded(self, seed: int) -> FilePrompts:
        """Return another stream of the same list, at its beginning; nothing is read again."""
        return FilePrompts(self._prompts, seed=seed, shuffle=self._shuffle)

    def draw(self, count: int) -> list[Prompt]:
        """Return the next `count` prompts."""
        drawn = [self._at(position) for position in range(self._num_drawn, self._num_drawn + count)]
        self._num_drawn += count
        return drawn

    def skip(self, count: int) -> None:
        """Pass over the next `count` prompts."""
        self._num_drawn += count

    def _at(self, position: int) -> Prompt:
        return self._prompts[self._epochs.at(position)[1]]


def build_prompt_source(
    config: PromptsConfig,
    tokenizer: Tokenizer,
    *,
    room_tokens: int | None = None,
    response_tokens: int | None = None,
    model: ModelFolder | None = None,
) -> GeneratedPrompts | FilePrompts | BookPrompts:
    """Build the prompt source that the config names.

    Args:
        config: Which, and how it is read.
        tokenizer: The policy's, as Hugging Face's library has it.
        room_tokens: What the model's context leaves for a prompt, the response taken off.
        response_tokens: Tokens of a response at most, where prompts are made of responses.
        model: Whose embeddings the prompts' tokens must be within; None takes any token.

    Raises:
        ConfigError: Long texts are cut up so that their nodes' prompts would have no room; or
            chats are wanted of a tokenizer without a chat template.
        MissingError: The file or dataset is not there.
        InputError: It is not what it says, or a prompt is too long; file and line are named.
        ResourceError: The Hugging Face hub cannot be reached.
    """
    limits = [limit for limit in (config.max_tokens, room_tokens) if limit is not None]
    longest = min(limits, default=None)
    policy = PolicyTokenizer(tokenizer)
    for key in ("as_chat", "system"):
        if getattr(config, key) and not policy.has_chat_template:
            raise ConfigError(
                f"prompts.{key} needs a chat template, and the policy's tokenizer has none: leave "
                f"prompts.{key} out, or take a chat model"
            )
    if config.source == "reviews":
        return ReviewPrompts(
            policy, prompt_tokens=config.prompt_tokens, seed=config.seed, longest=longest
        )
    if config.source == "articles":
        return ArticlePrompts(policy, seed=config.seed, longest=longest)
    if config.source == "dialogues":
        return DialoguePrompts(policy, seed=config.seed, longest=longest)
    if config.source == "books":
        nodes = NodePrompts(policy, config.books, longest=longest, response_tokens=response_tokens)
        return BookPrompts(_shelf(config, nodes, model), nodes)
    read = read_jsonl if config.source == "jsonl" else read_hub
    language_field = config.language_field
    if language_field is None:
        language_field = "language" if config.source == "jsonl" else ""
    reader = PromptReader(
        field=config.field,
        tokenizer=policy,
        longest=longest,
        model=model,
        language_field=language_field,
        turns=Turns(as_chat=config.as_chat, system=config.system),
        leaves_out_long=config.leave_out_long,
    )
    prompts = read(config, reader)
    _warn_of_control_texts(prompts, policy)
    return FilePrompts(prompts, seed=config.seed, shuffle=config.shuffle)


def _shelf(config: PromptsConfig, nodes: NodePrompts, model: ModelFolder | None) -> Shelf:
    if not config.path:
        return GeneratedShelf(nodes, config.books, seed=config.seed)
    texts = read_books(config, nodes, model)
    return FileShelf(texts, seed=config.seed, shuffle=config.shuffle)


def _warn_of_control_texts(prompts: Sequence[Prompt], policy: PolicyTokenizer) -> None:
    """Say that plain prompts look as if a chat template had written them: it is not to be so."""
    found = [prompt.prompt_id for prompt in prompts if policy.reads_like_control(prompt.text)]
    if found:
        _log.warning(
            "plain prompts hold what reads like control tokens, and are taken for text: give "
            "chat messages where turns are meant",
            num_prompts=len(found),
            first=found[0],
        )
