"""Write the plans beside the examples for GPUs; with `--check`, only compare.

Run by Andon's own Python, in the checkout: `.venv/bin/python tools/example_plans.py`. The models'
configs are here, so that nothing is fetched.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
SHAPES = ROOT / "tests" / "support" / "model_configs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A config of the examples, and the machine it is for."""

    name: str
    shape: str
    """Folder of the model's config."""
    gpus: int
    gpu_gib: float

    @property
    def page(self) -> Path:
        """Where its plan lies."""
        return EXAMPLES / f"{self.name}.plan.txt"


SHOWN = (
    Example(name="hub-0.5b-one-gpu", shape="qwen2.5-0.5b", gpus=1, gpu_gib=22.0),
    Example(name="hub-0.5b-in-turns", shape="qwen2.5-0.5b", gpus=1, gpu_gib=22.0),
    Example(name="hub-7b-lora-one-gpu", shape="qwen2.5-7b", gpus=1, gpu_gib=79.0),
    Example(name="hub-7b-eight-gpus", shape="qwen2.5-7b", gpus=8, gpu_gib=79.0),
    Example(name="sentiment-hub-one-gpu", shape="qwen2.5-0.5b", gpus=1, gpu_gib=22.0),
)


def plan_of(example: Example) -> str:
    """Return what `andon plan` prints, after the command."""
    from cluster.config_file import load_config
    from cluster.planning.changes import advise
    from cluster.planning.machine import planned_machine
    from cluster.planning.models import MetaModels
    from cluster.planning.plan import make_plan
    from cluster.planning.table import as_text
    from cluster.starting.policy_source import model_shape

    config = EXAMPLES / f"{example.name}.toml"
    run = load_config(config, (f"policy.path={SHAPES / example.shape}",))
    models = MetaModels(model_shape(run))
    machine = planned_machine(run, num_gpus=example.gpus, gpu_gib=example.gpu_gib, host_gib=None)
    plan = make_plan(run, models, machine)
    text = as_text(plan, advise(run, plan, lambda changed: make_plan(changed, models, machine)))
    options = f"--gpus {example.gpus} --gpu-gib {example.gpu_gib:g}"
    return f"$ andon plan examples/{example.name}.toml {options}\n\n{text}"


def main(arguments: list[str]) -> int:
    """Return the exit status: 1 where `--check` finds another plan than there should be."""
    sys.path.insert(0, str(ROOT))
    status = 0
    for example in SHOWN:
        wanted = plan_of(example)
        if "--check" not in arguments:
            example.page.write_text(wanted, encoding="utf-8")
        elif not example.page.is_file() or example.page.read_text(encoding="utf-8") != wanted:
            sys.stderr.write(f"{example.page.name} is out of date: run tools/example_plans.py\n")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
