"""Long texts from a JSONL file: {"prompt": text} a line, under the key that the config names.

A line may say in which language its text is, as in a file of prompts.
"""

from __future__ import annotations

from pathlib import Path

from actors.prompts.config import PromptsConfig
from actors.prompts.jsonl import prompt_lines
from actors.prompts.node_prompts import NodePrompts
from actors.prompts.passages import passages
from actors.prompts.records import language_of
from actors.prompts.shelves import ShelvedText
from actors.prompts.text_tree import TextTree, tree_over
from protocol.errors import InputError
from protocol.json_lines import line_of
from protocol.model_folder import ModelFolder


def read_books(
    config: PromptsConfig, prompts: NodePrompts, model: ModelFolder | None = None
) -> list[ShelvedText]:
    """Read all texts of `config.path` and cut them up; blank lines are passed over.

    Args:
        config: Names the file, and says how texts are cut up.
        prompts: Makes prompts of passages.
        model: Whose embeddings the prompts' tokens must be within; None takes any token.

    Raises:
        MissingError: There is no such file.
        InputError: It is empty, not JSON lines, or a text is bad; the line is named.
        ResourceError: It cannot be read.
    """
    path = Path(config.path)
    language_field = "language" if config.language_field is None else config.language_field
    texts = []
    for number, record in prompt_lines(path, "file of long texts"):
        where = line_of(path, number)
        tree = _tree(record, config, prompts, where, f"{path.stem}-{number:06d}")
        for leaf in tree.nodes[: tree.num_leaves]:
            _, ids = prompts.of_passage(leaf.passage, where)
            if model is not None:
                model.check_ids(ids, where)
        language = language_of(record, language_field, where)
        texts.append(ShelvedText(name=tree.document_id, tree=tree, language=language))
    if not texts:
        raise InputError(f'{path}: empty: give one {{"{config.field}": text}} a line')
    return texts


def _tree(
    record: object, config: PromptsConfig, prompts: NodePrompts, where: str, name: str
) -> TextTree:
    if not isinstance(record, dict) or config.field not in record:
        raise InputError(
            f'{where}: no "{config.field}": each record needs {{"{config.field}": text}}, under '
            "the key that prompts.field names"
        )
    text = record[config.field]
    if not isinstance(text, str):
        raise InputError(f'{where}: "{config.field}" is of type {type(text).__name__}: give a text')
    leaves = passages(text, config.books.leaf_tokens, lambda part: prompts.count(part, where))
    if not leaves:
        raise InputError(f'{where}: "{config.field}" is empty: give at least one word')
    return tree_over(leaves, config.books.fan_out, name)
