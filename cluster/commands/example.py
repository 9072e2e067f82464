"""Examples that need more than the default set-up brings."""

from __future__ import annotations

from pathlib import Path

import click

from cluster.commands.runs import folder_option, seed_option, set_option
from cluster.commands.shared import one_line_errors


@click.group()
def example() -> None:
    """Run an example that needs more than the default set-up brings."""


@example.command()
@folder_option
@seed_option
@set_option
@one_line_errors
def smollm2(folder: Path | None, seed: int, overrides: tuple[str, ...]) -> None:
    """Teach SmolLM2-135M-Instruct a better mood, by live labels of simulated labelers.

    A real language model on two cores in about an hour, without a GPU or an account. The labelers
    like what VADER, a lexicon of sentiment, calls positive; only they and the report know. Needs
    two packages more than the default set-up brings, of 93 MB in all: where one is missing, the
    error says how to install it. The model is written as float32 once, to runs/.

    Example: andon example smollm2 --set run.episodes=256 --set labels.total=64
    """
    from cluster.config_file import load_config
    from cluster.run import RUNS, run_to_end
    from cluster.starting.smollm2 import CONFIG, PROMPTS, smollm2_folder
    from label_queue.simulated.gold.registry import gold_of

    gold_of("vader")
    policy = smollm2_folder(RUNS, click.echo)
    chosen = (f"run.seed={seed}", f"policy.path={policy}", f"prompts.path={PROMPTS}", *overrides)
    run_to_end(load_config(CONFIG, chosen), folder)
