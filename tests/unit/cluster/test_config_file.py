"""A config as it is read and saved: a bad value is told in words of the file, a secret never."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cluster.config_file import load_config, parse_config, save_config
from protocol.errors import ConfigError, DiskFull
from tests.support.no_room import no_room

ROOT = Path(__file__).parents[3]
SHIPPED = (
    ROOT / "cluster/demo.toml",
    ROOT / "cluster/smollm2/run.toml",
    *sorted((ROOT / "examples").rglob("*.toml")),
)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_config_is_valid_and_saved_as_it_was_read(path: Path, tmp_path: Path) -> None:
    given = ("prompts.path=prompts.jsonl",) if path.name == "reviews.toml" else ()
    config = load_config(path, given)
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config
    config.refuse_unread_keys()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_where_beta_has_few_steps_it_answers_each_batch_too(path: Path) -> None:
    """In a hundred steps what only adds up comes late, and the KL ends far from its target."""
    given = ("prompts.path=prompts.jsonl",) if path.name == "reviews.toml" else ()
    config = load_config(path, given)
    num_steps = config.run.episodes / config.ppo.batch_size
    if config.kl.kind == "adaptive" and num_steps <= 120:
        assert config.kl.proportional == 0.5


def test_a_config_that_finds_no_room_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    config = load_config(ROOT / "cluster/demo.toml")
    save_config(config, path)
    other = load_config(ROOT / "cluster/demo.toml", ("ppo.lr=1e-3",))
    with no_room():
        with pytest.raises(DiskFull):
            save_config(other, path)
        save_config(config, path)  # says so already, and is left alone
    assert load_config(path) == config
    assert list(tmp_path.iterdir()) == [path]
    save_config(other, path)
    assert load_config(path) == other


@pytest.mark.parametrize("override", ["response.cut_token=", 'response.cut_token=""'])
def test_a_run_without_a_cut_token_is_saved_as_one(override: str, tmp_path: Path) -> None:
    config = load_config(ROOT / "cluster/demo.toml", (override,))
    assert config.response.cut_token == ""
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml").response.cut_token == ""


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("public_url=label.example.org", "public_url: want https://HOST or https://HOST/PATH"),
        ("public_url=https://ann:pw@h.example", "public_url: take user, password"),
        ("public_url=https://h.example?run=a", "public_url: take user, password"),
        ("public_url=https://h.example/run-a/", "public_url: leave the / at its end out"),
        ("http_host=label", "http_host: 'label' does not appear to be an IPv4 or IPv6 address"),
    ],
)
def test_a_bad_public_address_is_told_with_its_key_and_mend(setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"cluster.{said}")) as caught:
        load_config(ROOT / "cluster/demo.toml", (f"cluster.{setting}",))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("public_url=http://h.example", "public_url http://h.example: http would carry tokens in"),
        ('trusted_proxies=["10.0.0.1"]', "trusted_proxies 10.0.0.1: no connection comes from"),
        ("http_host=0.0.0.0", "http_host 0.0.0.0 is open to the network: set cluster.public_url"),
    ],
)
def test_where_a_face_may_not_listen_is_told_with_keys_and_mend(setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"cluster: {said}")) as caught:
        load_config(ROOT / "cluster/demo.toml", (f"cluster.{setting}",))
    assert "\n" not in str(caught.value)


def test_a_public_address_is_saved_as_it_was_read(tmp_path: Path) -> None:
    url = "https://label.example.org/run-a"
    settings = (f"cluster.public_url={url}", "cluster.trusted_proxies=[]")
    config = load_config(ROOT / "cluster/demo.toml", settings)
    assert (config.cluster.public_url, config.cluster.trusted_proxies) == (url, ())
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config


SECRET = "tr0ub4dor"
URL = "postgresql://ann@db.example/andon"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ann:{SECRET}@db/andon",
        f"postgresql://ann:{SECRET}/@#?@db/andon",
        f"postgresql://db/andon?password={SECRET}",
        f"mysql://ann:{SECRET}@db/andon",
        [f"postgresql://ann:{SECRET}@db/andon"],
    ],
    ids=str,
)
def test_a_password_in_the_ledger_s_url_is_refused_and_not_shown(url: object) -> None:
    content = {
        "people": ["ann"],
        "prompts": {},
        "policy": {"path": "model"},
        "labels": {"ledger_url": url},
    }
    with pytest.raises(ConfigError, match=r"labels\.ledger_url: want postgresql://") as refused:
        parse_config(content, "test")
    assert SECRET not in str(refused.value)
    with pytest.raises(ConfigError, match="PGPASSWORD") as refused:
        load_config(ROOT / "cluster/demo.toml", (f"labels.ledger_url={url}",))
    assert SECRET not in str(refused.value)


def test_what_is_saved_of_a_ledger_on_a_server_is_its_url_and_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    config = load_config(ROOT / "cluster/demo.toml", (f"labels.ledger_url={URL}",))
    save_config(config, tmp_path / "config.toml")
    saved = (tmp_path / "config.toml").read_text()
    assert URL in saved
    # The same dump is what wandb is given.
    assert SECRET not in saved + config.model_dump_json()
    assert load_config(tmp_path / "config.toml").labels.ledger_place(Path("file")) == URL
    plain = load_config(ROOT / "cluster/demo.toml")
    assert plain.labels.ledger_place(Path("file")) == Path("file")


@pytest.mark.parametrize(
    ("section", "content", "field"),
    [
        ("prompts", {"language": "jp"}, "prompts.language: 'jp' is no language: want a BCP 47"),
        ("prompts", {"language": "de_DE"}, "prompts.language: 'de_DE' is no language"),
        (
            "labels",
            {"intake": {"language": "tlh"}},
            "labels.intake.language: the labelers' pages are not in 'tlh': choose one of",
        ),
    ],
)
def test_a_language_that_is_none_is_refused_by_its_field(
    section: str, content: dict[str, Any], field: str
) -> None:
    whole = {"people": ["ann"], "prompts": {}, "policy": {"path": "model"}, "labels": {}}
    with pytest.raises(ConfigError, match=re.escape(field)):
        parse_config({**whole, section: content}, "test")


def test_marks_are_saved_with_all_that_they_hold(tmp_path: Path) -> None:
    content = tomllib.loads((ROOT / "cluster" / "demo.toml").read_text())
    content["reward_model"] = {"marks": {"weight": 0.5}}
    config = parse_config(content, "test")
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config


def test_all_that_is_wrong_is_said_at_once_in_one_line() -> None:
    overrides = ["ppo.lr=-1", "kl.targett=8", "run.episodes=many"]
    with pytest.raises(ConfigError) as caught:
        load_config(ROOT / "cluster/demo.toml", overrides)
    said = str(caught.value)
    assert "3 problems: " in said
    for key in ("ppo.lr: ", "kl.targett is not a known key; did you mean target?", "run.episodes"):
        assert key in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ('people="ann"', "people: must be a list, in [ ], but got 'ann'"),
        ('labelers={name="ann"}', "labelers: must be a list of sections ([[labelers]])"),
        ('labelers=["ann"]', "labelers.0: must be a section ([[labelers]]), but got 'ann'"),
        ("ppo=3", "ppo: must be a section ([ppo]), but got 3"),
        ("ppo=[1]", "ppo: must be a section ([ppo]), but got [1]"),
        (
            "learner.checkpoint=1",
            "learner.checkpoint: must be a section ([learner.checkpoint]), but got 1",
        ),
        (
            "labels.connectors=[3]",
            "labels.connectors.0: must be a section ([[labels.connectors]]), but got 3",
        ),
        (
            'labels.connectors=[{kind="jsonl",path="x",labelers=3}]',
            "labels.connectors.0.labelers: must be a section, but got 3",
        ),
        (
            'labels.connectors=[{kind="jsonl",path="x",task_path="y"}]',
            "labels.connectors.0.task_path is not a known key; did you mean tasks_path?",
        ),
        (
            'labels.connectors=[{kind="jsnl",path="x"}]',
            "labels.connectors.0.kind is 'jsnl': must be one of "
            '"label_studio", "argilla", "jsonl", "redis", "kafka"',
        ),
        (
            'labels.connectors=[{path="x"}]',
            "labels.connectors.0.kind is missing: must be one of "
            '"label_studio", "argilla", "jsonl", "redis", "kafka"',
        ),
        ("run.name=3", "run.name: must be a text, in quotes, but got 3"),
        ("people=[3]", "people.0: must be a text, in quotes, but got 3"),
        ("labels.guidelines=3", "labels.guidelines: must be a path, in quotes, but got 3"),
    ],
)
def test_a_value_of_another_kind_is_told_in_words_of_the_file(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(ROOT / "cluster/demo.toml", [override])
    assert str(caught.value).partition("demo.toml: ")[2] == said


def test_of_very_many_problems_the_first_few_are_said() -> None:
    overrides = [f"ppo.unknown_{number}=1" for number in range(7)]
    with pytest.raises(ConfigError, match=r"7 problems: .*unknown_4 .*; and 2 more$"):
        load_config(ROOT / "cluster/demo.toml", overrides)
