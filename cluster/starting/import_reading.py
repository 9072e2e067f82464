"""How an import reads preferences: with the policy's tokenizer, and up to where its run would."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.config_file import load_config
from cluster.starting.policy_reading import PolicyReading
from cluster.starting.policy_source import policy_folder
from label_queue.exchange.preference_import import WrittenEnds
from protocol.errors import ConfigError
from protocol.model_folder import ModelFolder


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
    revision, what = None, "--model"
    if model is None:
        if config is None:
            return None
        if config.policy is None:
            raise ConfigError(
                f"{config_file} names no policy.path, so its policy is yet to be made: name its "
                "folder with --model"
            )
        model, revision, what = config.policy.path, config.policy.revision, "policy.path"
    policy = PolicyReading.of_folder(policy_folder(model, revision, what))
    if config is None:
        ends = WrittenEnds.unknown(policy.end_ids)
    else:
        rule = policy.ends(config.response)
        ends = WrittenEnds(of_chats=rule, of_texts=rule)
    return PreferenceReading(tokenizer=policy.library, ends=ends, model=policy.model)
