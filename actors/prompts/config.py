"""Which prompts to train on."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from protocol.settings import LanguageTag, Seed, Settings, Tokens, refuse_unread


class BooksConfig(Settings):
    """How long texts are cut into trees, of whose nodes prompts are made."""

    leaf_tokens: Tokens = 64
    """N, tokens of a passage at most, which ends where a sentence does."""
    fan_out: int = Field(default=3, ge=2, le=1_000)
    """F, summaries at most that the prompt of a node above the passages is made of."""
    suffix: Annotated[str, Field(min_length=1, max_length=1_000)] = " TL;DR:"
    """What follows a passage, or summaries, and asks for a summary; as it is written."""


FILES = ("jsonl", "hub")
OF_RECORDS = ("field", "language_field", "shuffle")
"""Keys that are about records somebody wrote."""
READERS: dict[str, tuple[str, ...]] = {
    "path": ("jsonl", "books"),
    **dict.fromkeys(("dataset", "subset", "revision"), ("hub",)),
    **dict.fromkeys(("leave_out_long", "as_chat", "system"), FILES),
}
"""The sources that read a key; others have been refused from the first version on."""
MORE_READERS: dict[str, tuple[str, ...]] = {
    "split": ("hub",),
    **dict.fromkeys(OF_RECORDS, (*FILES, "books")),
    "prompt_tokens": ("reviews",),
    "books": ("books",),
}
"""The sources that read a key which others once ignored."""


class PromptsConfig(Settings):
    """Where prompts come from, and how they are read."""

    source: Literal["reviews", "articles", "dialogues", "books", "jsonl", "hub"] = "reviews"
    """Generated reviews, of which a prompt is the beginning; generated news articles, each with
    "TL;DR:" after it; generated dialogues, up to where the assistant is to speak last; long texts,
    cut into trees that are summed up from the leaves, generated or those of `path`; a JSONL file,
    or a Hugging Face dataset."""
    path: str = ""
    """The JSONL file: one {"prompt": text or chat messages} a line; of "books" {"prompt": text}, or
    "" for generated ones."""
    books: BooksConfig = BooksConfig()
    """How the long texts of source "books" are cut up."""
    dataset: str = ""
    """A Hugging Face dataset id, e.g. "trl-lib/tldr"."""
    subset: str = ""
    """Name of the dataset's configuration, where it has several."""
    split: str = "train"
    """The dataset's split."""
    revision: Annotated[str, Field(min_length=1)] | None = None
    """A branch, tag or commit of the dataset; None: its main branch, as it is when a run begins. A
    resumed run takes the commit that it began with."""
    field: str = "prompt"
    """The key or column that holds the prompt, or the long text of a book."""
    language: LanguageTag = ""
    """The language of prompts and responses, by which a screen reader reads them, e.g. "de"; "":
    that of generated texts is English, and of other prompts it is not known."""
    language_field: str | None = None
    """The key or column that holds the language of one prompt, where it is another than `language`;
    None: "language" of a JSONL file, none of a dataset. "": none."""
    prompt_tokens: int = Field(default=8, ge=1, le=32)
    """P, words of a generated review that make a prompt; others have lengths of their own."""
    max_tokens: Tokens | None = None
    """Longest prompt taken, in tokens; None takes whatever the model's context leaves room for."""
    leave_out_long: bool = False
    """Leave longer prompts of a file or dataset out, and say how many; else one refuses them all.
    """
    as_chat: bool = False
    """Take plain texts of a file or dataset for what a user says, by the model's chat template."""
    system: str = ""
    """A system turn that the chat template puts before each chat of a file or dataset which brings
    none of its own; "": none."""
    shuffle: bool = True
    """Whether files are read in a fresh random order each epoch."""
    seed: Seed = 0
    """Seed of generated prompts, and of the order of a file."""

    @property
    def shown_language(self) -> str:
        """The language of prompts that say none of their own; "" where it is not known."""
        return self.language or ("en" if self.is_generated else "")

    @property
    def is_generated(self) -> bool:
        """Whether prompts are written by our own generators."""
        is_ours = self.source == "books" and not self.path
        return is_ours or self.source in ("reviews", "articles", "dialogues")

    @model_validator(mode="after")
    def _names_its_source(self) -> Self:
        if self.source == "jsonl" and not self.path:
            raise ValueError('prompts.path is empty: source "jsonl" needs a file')
        if self.source == "hub" and not self.dataset:
            raise ValueError('prompts.dataset is empty: source "hub" needs a dataset id')
        refuse_unread("prompts", self, self.source, READERS)
        return self

    def refuse_unread_keys(self) -> None:
        """Refuse all keys that the source does not read; raise ValueError.

        Asked as a run begins: the config of one that began before it was asked may have such keys.
        """
        refuse_unread("prompts", self, self.source, MORE_READERS)
        if self.is_generated:  # of books, those that no path is named of
            refuse_unread("prompts", self, self.source, dict.fromkeys(OF_RECORDS, FILES))
