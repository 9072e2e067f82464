"""How an import reads preferences: with the policy's tokenizer, and up to where its run would."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.end_tokens import model_end_ids
from actors.tokenizer import load_tokenizer
from cluster.config_file import load_config
from cluster.starting.policy_source import policy_folder
from cluster.starting.prompts import written_end_rule
from label_queue.exchange.preference_import import WrittenEnds
from protocol.errors import ConfigError
from protocol.model_folder import ModelFolder, inspect_model
from protocol.tokenizing import PolicyTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceReading:
    """What preferences are read with."""

    tokenizer: Any
    """The policy's tokenizer, as Hugging Face's library has it."""
    ends: WrittenEnds
    model: ModelFolder
    """The model that the texts must fit."""


def preference_reading(model: str | None, config_file: Path | None) -> PreferenceReading | None:
    """Return how preferences are read; None where neither a policy nor a config is named.

    Args:
        model: The policy, a folder or hub id; None takes the config's.
        config_file: The config of the run that goes on with the labels.

    Raises:
        UserError: The config or the policy is missing or not what it should be.
    """
    config = None if config_file is None else load_config(config_file)
    if model is None:
        if config is None:
            return None
        if config.policy is None:
            raise ConfigError(
                f"{config_file} names no policy.path, so its policy is yet to be made: name its "
                "folder with --model"
            )
        model = config.policy.path
    folder = inspect_model(policy_folder(model))
    tokenizer = load_tokenizer(folder.path)
    reader = PolicyTokenizer(tokenizer)
    if config is None:
        ends = WrittenEnds.unknown(
            model_end_ids(folder.path, reader.eos_token_id, folder.num_embeddings)
        )
    else:
        rule = written_end_rule(config.response, reader, folder)
        ends = WrittenEnds(of_chats=rule, of_texts=rule)
    return PreferenceReading(tokenizer=tokenizer, ends=ends, model=folder)
