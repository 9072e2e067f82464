"""The text that the policy trains on beside PPO, and what is held out of it to measure on.

Of each source the first texts are trained on, and those that follow are held out: of generated
reviews the ones that the base model would have learned next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from actors.prompts.corpora import CorpusName, corpus
from actors.prompts.hub import dataset_rows, name_of
from cluster.starting.policy_reading import PolicyReading
from learners.text_config import PretrainingConfig
from protocol.errors import InputError
from protocol.files import read_text, refuse_stream
from protocol.json_lines import line_of, read_json_lines
from protocol.model_folder import ModelFolder

if TYPE_CHECKING:
    from learners.pretraining import PretrainingBlocks

_GENERATED = frozenset(get_args(CorpusName))
MEND = "name the file with pretraining.path"


def read_pretraining(config: PretrainingConfig, policy: PolicyReading) -> PretrainingBlocks:
    """Read the texts and cut them into blocks of the policy's tokens.

    Raises:
        MissingError: The file or dataset is not there.
        InputError: It is not what it says, or too short for one block; names it and the mend.
        ResourceError: The file may not be read, or the hub cannot be reached.
    """
    from learners.pretraining import PretrainingBlocks  # torch takes seconds

    _check_length(config, policy.model)
    texts = list(islice(_texts(config), config.num_texts + config.held_out_texts))
    num_trained = len(texts) - config.held_out_texts
    if num_trained < 1:
        raise InputError(
            f"{_source(config)} holds {len(texts)} texts, and pretraining.held_out_texts "
            f"{config.held_out_texts} leave none to train on: give more texts, or lower it"
        )
    train, train_counted = _blocks(texts[:num_trained], config, policy, "num_texts")
    held_out, counted = _blocks(texts[num_trained:], config, policy, "held_out_texts")
    return PretrainingBlocks(
        train=train, held_out=held_out, train_counted=train_counted, held_out_counted=counted
    )


def _blocks(
    texts: Sequence[str],
    config: PretrainingConfig,
    policy: PolicyReading,
    key: str,
) -> tuple[Any, Any]:  # of Tensors; torch is imported where there is text
    from learners.supervised import blocks_of

    try:
        blocks, counted = blocks_of(texts, policy.library, config)
    except InputError as error:
        raise InputError(f"{_source(config)}, of pretraining.{key}: {error}") from error
    policy.model.check_ids((int(blocks.max()),), _source(config))
    return blocks.int(), counted


def _check_length(config: PretrainingConfig, model: ModelFolder) -> None:
    context = model.context_length
    if context is not None and config.block_tokens > context:
        raise InputError(
            f"pretraining.block_tokens {config.block_tokens} is above the context of {model.path}, "
            f"{context} tokens: lower it"
        )


def _source(config: PretrainingConfig) -> str:
    """Return how errors name the source."""
    if config.source in _GENERATED:
        return f"pretraining.source {config.source!r}"
    return name_of(config) if config.source == "hub" else config.path


def _texts(config: PretrainingConfig) -> Iterator[str]:
    """Give the source's texts, in its order; empty ones are passed over."""
    path = Path(config.path)
    if config.source in ("text", "jsonl"):
        refuse_stream(path, "pretraining.path", MEND)
    if config.source in _GENERATED:
        count = config.num_texts + config.held_out_texts
        yield from corpus(cast("CorpusName", config.source), count, config.seed)
    elif config.source == "text":
        # Others than line feeds end no line: a page break, or what Unicode has for paragraphs.
        lines = read_text(path, "pretraining.path", MEND).split("\n")
        yield from (line for line in lines if line.strip())
    elif config.source == "jsonl":
        for number, record in read_json_lines(path, "pretraining.path", MEND, is_lenient=True):
            yield from _text_of(record, config.field, line_of(path, number))
    else:
        for number, row in enumerate(dataset_rows(config, "pretraining")):
            yield from _text_of(row, config.field, f"{name_of(config)}, row {number}")


def _text_of(record: object, field: str, where: str) -> Iterator[str]:
    if not isinstance(record, dict) or field not in record:
        raise InputError(
            f'{where}: no "{field}": each record needs {{"{field}": text}}; see pretraining.field'
        )
    text = record[field]
    if not isinstance(text, str):
        raise InputError(f'{where}: "{field}" is of type {type(text).__name__}: give a text')
    if text.strip():
        yield text
