"""How a policy reads and ends texts: by its folder, or by its recipe before it is made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from actors.config import ResponseConfig
from actors.end_tokens import model_end_ids
from actors.prompts.corpora import corpus_vocabulary
from actors.response import end_rule
from actors.tokenizer import load_tokenizer
from learners.text_config import BaseModelConfig
from protocol.ending import EndRule
from protocol.model_folder import ModelFolder, inspect_model
from protocol.tokenizing import PolicyTokenizer


@dataclass(frozen=True, kw_only=True)
class PolicyReading:
    """A policy, as far as texts are concerned."""

    model: ModelFolder
    """The model to whose context and embeddings texts must keep."""
    library: Any
    """Its tokenizer, as Hugging Face's library has it."""
    end_ids: frozenset[int]
    """The end tokens that its files name."""

    @classmethod
    def of_folder(cls, path: Path) -> Self:
        """Return that of a model folder.

        Raises:
            MissingError: There is no such folder.
            InputError: It holds no whole model, or a tokenizer that cannot be loaded.
        """
        model, library = inspect_model(path), load_tokenizer(path)
        end_ids = model_end_ids(path, library.eos_token_id, model.num_embeddings)
        return cls(model=model, library=library, end_ids=end_ids)

    @classmethod
    def of_recipe(cls, recipe: BaseModelConfig) -> Self:
        """Return that of a base model that is yet to be made, all words of its texts being in it.

        Few texts may lack some of them, and ids are in another order: it is for checks alone.
        """
        from learners.word_tokenizer import build_tokenizer  # transformers takes seconds

        words = corpus_vocabulary(recipe.texts)
        library = build_tokenizer(words, takes_chats=recipe.takes_chats)
        model = ModelFolder(
            path=Path("base_model"),
            architecture="GPT2LMHeadModel",
            context_length=recipe.context_tokens,
            has_two_scales=False,
            num_embeddings=len(library),
            ids_beyond={},
        )
        return cls(model=model, library=library, end_ids=frozenset({library.eos_token_id}))

    @cached_property
    def tokenizer(self) -> PolicyTokenizer:
        """Its tokenizer, as all of Andon uses it."""
        return PolicyTokenizer(self.library)

    def ends(self, response: ResponseConfig) -> EndRule:
        """Return where responses end, written ones where sampled ones do.

        Raises ConfigError where no token reads a text of the config, or the model has no end token.
        """
        return end_rule(
            response, model_end_ids=self.end_ids, ids_reading=self.tokenizer.ids_reading
        )
