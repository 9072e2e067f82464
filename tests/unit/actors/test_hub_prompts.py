"""Prompts from a Hugging Face dataset: its rows, and in one line what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.prompts.config import PromptsConfig
from actors.prompts.grammar import vocabulary
from actors.prompts.source import build_prompt_source
from protocol.errors import InputError, MissingError, ResourceError, UserError
from tests.unit.actors.test_prompt_sources import word_tokenizer, write_lines


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return word_tokenizer(vocabulary())


def test_the_hub_out_of_reach_is_one_line(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    config = PromptsConfig(source="hub", dataset="nobody/nothing-of-the-kind")
    with pytest.raises(ResourceError, match=r"nobody/nothing-of-the-kind: .*cannot be reached"):
        build_prompt_source(config, tokenizer)


@pytest.fixture
def dataset_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of two prompts that `datasets` itself reads, in a folder instead of the hub."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    write_lines(folder / "train.jsonl", {"prompt": "the soup was"}, {"prompt": "the bread was"})
    return folder


def test_a_dataset_is_read_row_by_row(tokenizer: Any, dataset_folder: Path) -> None:
    config = PromptsConfig(source="hub", dataset=str(dataset_folder), shuffle=False)
    drawn = build_prompt_source(config, tokenizer).draw(3)
    assert [p.text for p in drawn] == ["the soup was", "the bread was", "the soup was"]


def test_whatever_the_datasets_library_raises_is_one_line(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.parquet").write_bytes(b"PAR1 is how such a file begins")
    config = PromptsConfig(source="hub", dataset=str(folder))
    with pytest.raises(UserError, match=r"set.*train") as caught:
        build_prompt_source(config, tokenizer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("added", "why"),
    [
        (("test.csv", "prompt\nb\n"), "same data file format"),
        (("README.md", "---\nconfigs: 7\n---\n"), "configs to be a list"),
    ],
)
def test_a_dataset_that_is_wrong_in_itself_is_not_put_down_to_its_split(
    tokenizer: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    added: tuple[str, str],
    why: str,
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"prompt": "a"}\n')
    name, content = added
    (folder / name).write_text(content)
    config = PromptsConfig(source="hub", dataset=str(folder))
    with pytest.raises(InputError, match=f"cannot read it .*{why}"):
        build_prompt_source(config, tokenizer)


@pytest.mark.parametrize("split", ["train[:1%x]", "trian[:5]"])
def test_a_split_that_cannot_be_read_is_named(
    tokenizer: Any, dataset_folder: Path, split: str
) -> None:
    config = PromptsConfig(source="hub", dataset=str(dataset_folder), split=split)
    with pytest.raises(MissingError, match=r"no split .*check prompts\.subset and prompts\.split"):
        build_prompt_source(config, tokenizer)


def test_bad_splits_and_columns_of_a_dataset_are_named(
    tokenizer: Any, dataset_folder: Path
) -> None:
    config = PromptsConfig(source="hub", dataset=str(dataset_folder), split="tests")
    with pytest.raises(MissingError, match=r"no split 'tests'.*'train'.*check prompts\.subset"):
        build_prompt_source(config, tokenizer)
    config = PromptsConfig(source="hub", dataset=str(dataset_folder), field="question")
    with pytest.raises(InputError, match=r'row 0: no "question"'):
        build_prompt_source(config, tokenizer)


def test_a_dataset_says_no_language_unless_its_column_is_named(
    tokenizer: Any, tmp_path: Path
) -> None:
    write_lines(tmp_path / "train.jsonl", {"prompt": "the soup", "language": "English"})
    config = PromptsConfig(source="hub", dataset=str(tmp_path))
    assert build_prompt_source(config, tokenizer).draw(1)[0].language == ""
    named = PromptsConfig(source="hub", dataset=str(tmp_path), language_field="language")
    with pytest.raises(InputError, match="row 0: \"language\": 'English' is no language"):
        build_prompt_source(named, tokenizer)
