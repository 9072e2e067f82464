"""Every number a run's config can hold is bounded, and refused by its name beyond its bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from cluster.config import RunConfig
from cluster.config_file import load_config, parse_config
from label_queue.connector_config import (
    ArgillaConfig,
    JsonlConfig,
    KafkaConfig,
    LabelStudioConfig,
    RedisConfig,
)
from protocol.errors import ConfigError
from protocol.settings import Settings, numbers

ROOT = Path(__file__).parents[3]
NO_SUCH_NUMBER = ("inf", "-inf", "nan", "1e400", "-1e400", "1" + "0" * 400, "-" + "9" * 30)


def sections(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section with the path of its keys; of a list of sections the first, as `labelers.0`."""
    yield prefix, model
    for name, field in model.model_fields.items():
        for inner, is_list in _models(field.annotation):
            yield from sections(inner, f"{prefix}{name}.{'0.' if is_list else ''}")


def _models(annotation: Any, is_list: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, is_list
    for part in get_args(annotation):
        yield from _models(part, is_list or str(annotation).startswith("tuple"))


SECTIONS = list(sections(RunConfig))
NUMBERS = sorted(
    {
        (prefix, name, bounds, "tuple" in str(field.annotation))
        for prefix, model in SECTIONS
        for name, field in model.model_fields.items()
        for _, bounds in numbers(field)
    }
)


def test_every_section_is_of_the_one_base() -> None:
    assert [model for _, model in SECTIONS if not issubclass(model, Settings)] == []


def test_every_number_is_found_and_has_two_finite_bounds() -> None:
    assert len(NUMBERS) > 140
    loose = [(p, n, b) for p, n, b, _ in NUMBERS if not all(map(math.isfinite, b))]
    assert loose == []
    seeds = {f"{prefix}{name}": bounds for prefix, name, bounds, _ in NUMBERS if name == "seed"}
    assert set(seeds) == {
        *("run.seed", "prompts.seed", "reward_fit.seed", "labelers.0.seed"),
        *("base_model.seed", "base_model.training.seed", "pretraining.seed"),
    }
    assert set(seeds.values()) == {(0.0, 2.0**32 - 1)}


def base(prefix: str) -> dict[str, Any]:
    content: dict[str, Any] = {
        "people": ["ann"],
        "prompts": {"source": "reviews"},
        "labels": {},
        "labelers": [{"name": "bob"}],
    }
    content["base_model" if prefix.startswith("base_model") else "policy"] = (
        {} if prefix.startswith("base_model") else {"path": "model"}
    )
    if prefix.startswith("labels.intake.oidc"):
        provider = {"issuer": "https://id.example.org", "client_id": "a", "client_secret_env": "B"}
        content["labels"] = {"intake": {"oidc": provider}}
        content["cluster"] = {"public_url": "https://andon.example.org"}
    return content


@pytest.mark.parametrize("text", [*NO_SUCH_NUMBER, "true", '"1"'])
def test_no_number_takes_what_is_none(text: str) -> None:
    import tomllib

    value = tomllib.loads(f"x = {text}")["x"]
    for prefix, name, _, is_tuple in NUMBERS:
        if prefix.startswith("labels.connectors"):
            continue  # a choice of kinds: tried below
        content = base(prefix)
        place: Any = content
        for part in prefix.split(".")[:-1]:
            place = place[0] if part == "0" else place.setdefault(part, {})
        place[name] = [value, value] if is_tuple else value
        with pytest.raises(ConfigError, match=name) as caught:
            parse_config(content, "test")
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", [*NO_SUCH_NUMBER, "true", '"1"'])
@pytest.mark.parametrize(
    "kind", [LabelStudioConfig, ArgillaConfig, JsonlConfig, RedisConfig, KafkaConfig]
)
def test_no_number_of_a_connector_does(kind: type[BaseModel], text: str) -> None:
    import tomllib

    value = tomllib.loads(f"x = {text}")["x"]
    names = [name for name, field in kind.model_fields.items() if list(numbers(field))]
    assert {"sweep_s", "ring_s", "longest_backoff_s"} <= set(names)
    for name in names:
        with pytest.raises(ValidationError) as caught:
            kind.model_validate({name: value})
        assert any(
            name in (*error["loc"], *error.get("ctx", {}).values())
            for error in caught.value.errors()
        )


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("ppo.lr=inf", "ppo.lr"),
        ("response.temperature=inf", "response.temperature"),
        ("response.temperature=0.009", "response.temperature"),
        ("response.missing_cut_score=nan", "response.missing_cut_score"),
        ("learner.adam_betas=[nan, 0.9]", "learner.adam_betas.0"),
        ("learner.adam_betas=[0.9, 1.0]", "learner.adam_betas.1"),
        ("run.seed=-1", "run.seed"),
        ("run.seed=4294967296", "run.seed"),
        ("reward_fit.seed=18446744073709551616", "reward_fit.seed"),
        ("prompts.seed=-1", "prompts.seed"),
        ("run.seed=" + "9" * 5_000, "run.seed"),
        ("run.seed=0x" + "f" * 5_000, "run.seed"),
        ("run.seed=true", "run.seed: want a number"),
        ("ppo.whiten_rewards=yes", "ppo.whiten_rewards: want true or false"),
        ("reward_service.retries=2000", "reward_service.retries"),
        ("cluster.gpus_per_actor=1.5", "gpus_per_actor 1.5: above 1 it must be a whole number"),
        ("response.max_tokens=64", "base_model.context_tokens 64 must hold a prompt"),
        ("base_model.engine.num_ranks=3", "base_model.engine.num_ranks 3"),
        ("kl.coefficient=0", "coefficient 0 stays 0, however it is adapted"),
    ],
)
def test_an_override_is_refused_by_name(override: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(ROOT / "cluster/demo.toml", (override,))
    assert named in str(caught.value)
    assert len(str(caught.value)) < 500


def test_the_largest_seed_is_good_everywhere() -> None:
    largest = tuple(
        f"{key}.seed={2**32 - 1}" for key in ("run", "prompts", "reward_fit", "base_model")
    )
    config = load_config(ROOT / "cluster/demo.toml", largest)
    assert config.run.seed == 2**32 - 1


@pytest.mark.parametrize(
    ("overrides", "batch", "horizon"),
    [
        (("ppo.batch_size=512", "run.episodes=15360", "kl.horizon_episodes=100"), 512, 100),
        (("kl.horizon_episodes=20",), 128, 20),
        (("kl.horizon_episodes=25",), 128, 25),
        (("kl.max_error=10.0",), 128, 1280),
    ],
)
def test_a_step_that_could_turn_the_kl_coefficient_negative_is_refused(
    overrides: tuple[str, ...], batch: int, horizon: int
) -> None:
    """β falls by at most 0.2·128/horizon of itself: all of it at a horizon of 25.6."""
    with pytest.raises(ConfigError) as caught:
        load_config(ROOT / "cluster/demo.toml", overrides)
    assert f"kl.horizon_episodes {horizon} is too short for ppo.batch_size {batch}" in str(
        caught.value
    )


@pytest.mark.parametrize("overrides", [("kl.horizon_episodes=26",), ("kl.kind=fixed",)])
def test_a_step_that_leaves_some_of_it_is_not(overrides: tuple[str, ...]) -> None:
    load_config(ROOT / "cluster/demo.toml", overrides)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf" + (ROOT / "cluster/demo.toml").read_bytes())
    assert load_config(path) == load_config(ROOT / "cluster/demo.toml")


def test_a_number_too_long_to_read_in_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[run]\nseed = " + "9" * 5_000)
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load_config(path)


@pytest.mark.parametrize(
    "line",
    [
        ("demo", "--seed", "-1"),
        ("demo", "--seed", str(2**32)),
        ("demo", "--seed", "1e3"),
        ("stop", "run", "--timeout", "nan"),
        ("stop", "run", "--timeout", "inf"),
        ("stop", "run", "--timeout", "-1"),
        ("rollback", "run", "--reason", "x", "--to", str(2**63)),
        ("trace", "run", "--policy", str(2**63)),
        ("labelers", "exclude", "ann", "--reason", "x", "--from", str(2**63)),
    ],
)
def test_an_option_beyond_its_bounds_is_named(line: tuple[str, ...]) -> None:
    from click.testing import CliRunner

    from cluster.cli import main

    result = CliRunner().invoke(main, line)
    assert result.exit_code == 2
    assert "Invalid value for '--" in result.output
