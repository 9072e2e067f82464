"""`andon plan` as a user types it, and the check before a run that asks the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cluster.cli import main
from cluster.commands.exit_codes import EXIT_DONE, EXIT_FAILED, EXIT_USER_ERROR
from cluster.config_file import load_config
from cluster.planning.models import MetaModels
from cluster.starting.policy_source import model_shape
from cluster.starting.preflight import check_room
from protocol.errors import ResourceError
from tests.support.tiny_model import save_tiny_model

ROOT = Path(__file__).parents[4]
DEMO = ROOT / "cluster" / "demo.toml"
CONFIG = """
people = ["ann"]
[run]
episodes = 5120
[prompts]
source = "reviews"
[policy]
path = "{model}"
[rollouts]
kv_cache_gib = 0.01
"""


def andon(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    model = save_tiny_model(tmp_path / "model")
    path = tmp_path / "run.toml"
    path.write_text(CONFIG.format(model=model))
    return path


def test_a_run_that_fits_ends_with_0_and_says_so(config: Path) -> None:
    result = andon("plan", str(config), "--set", "rollouts.num_actors=3")
    assert result.exit_code == EXIT_DONE, result.output
    assert result.output.endswith("\nfits\n")
    assert "rollout actor 0–2" in result.output
    assert "this machine" in result.output


def test_a_config_alone_is_enough_of_a_model(config: Path) -> None:
    for file in (config.parent / "model").iterdir():
        if file.name != "config.json":
            file.unlink()
    assert andon("plan", str(config)).exit_code == EXIT_DONE


def test_a_run_that_does_not_fit_ends_with_1_and_names_what_to_change(config: Path) -> None:
    gpus = ("cluster.gpus_per_learner_rank=1", "cluster.gpus_per_actor=1")
    sets = [part for each in gpus for part in ("--set", each)]
    result = andon("plan", str(config), *sets, "--gpus", "1", "--json")
    assert result.exit_code == EXIT_FAILED, result.output
    told = json.loads(result.output)
    assert told["fits"] is False
    assert "there are 1 GPUs, and none is left for" in told["problems"][0]["text"]


def test_a_machine_with_a_host_too_small_does_not_do(config: Path) -> None:
    result = andon("plan", str(config), "--host-gib", "1")
    assert result.exit_code == EXIT_FAILED
    assert "the host has 1.0 GiB" in result.output


@pytest.mark.parametrize("option", ["--gpu-gib=0", "--gpu-gib=nan", "--gpus=-1"])
def test_a_machine_that_is_none_is_refused(config: Path, option: str) -> None:
    assert andon("plan", str(config), option).exit_code == EXIT_USER_ERROR


def test_a_model_that_is_not_there_is_named(config: Path) -> None:
    result = andon("plan", str(config), "--set", "policy.path=nowhere")
    assert result.exit_code == EXIT_USER_ERROR
    assert "nowhere does not exist: name a model" in result.output


def test_a_base_model_that_is_yet_to_be_made_has_a_plan() -> None:
    result = andon("plan", str(DEMO))
    assert result.exit_code == EXIT_DONE, result.output
    total = MetaModels(model_shape(load_config(DEMO))).language_model.total
    # Four layers of 12·128² weights, and an embedding for every word.
    assert 12 * 128**2 * 4 < total < 12 * 128**2 * 4 + 128 * 1_000
    assert result.output.startswith(f"{total / 1e6:.1f} M weights")


def test_what_only_may_not_fit_is_not_refused(config: Path, tmp_path: Path) -> None:
    # Host and disk are judged by what processes take at their fullest, all at once.
    check_room(load_config(config, ("learner.checkpoint.keep=1000000000",)), tmp_path / "run")


def test_gpus_that_are_here_are_counted_before_a_run(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 1\n")  # a GPU of 1 MiB
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    check_room(load_config(config), tmp_path / "run")  # it asks for none
    whole = ("cluster.gpus_per_learner_rank=0.5", "rollouts.num_actors=1")
    with pytest.raises(ResourceError, match=r"GPU 0 has .* wanted by learner rank 0") as told:
        check_room(load_config(config, whole), tmp_path / "run")
    assert "`andon plan CONFIG.toml` says what to change" in str(told.value)
    assert "\n" not in str(told.value)
    with pytest.raises(
        ResourceError, match="there are 1 GPUs, and none is left for reward trainer"
    ):
        check_room(load_config(config, ("cluster.gpus_per_learner_rank=1",)), tmp_path / "run")
