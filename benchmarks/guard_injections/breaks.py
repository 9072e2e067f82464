"""What is broken, and where: each patches one module of the system right after it was imported."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Patch = Callable[[Any], None]

NAN_AT_CALL = 40
"""Number of the call of the value loss, in one process, that is broken; in the demo halfway through
the third step."""
SPOILED_FROM = 3
"""The first reward version whose heads are zeroed as it is loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One way to break a run."""

    settings: tuple[str, ...] = ()
    """`--set` overrides."""
    module: str = ""
    patch: Patch | None = None
    """Breaks `module`, in whatever process imports it."""


def _rewards(change: Callable[..., Any]) -> Patch:
    """Return a patch of the rewards PPO is paid: `change(true, *arguments)`."""

    def patch(module: Any) -> None:
        true = module.penalised_rewards
        module.penalised_rewards = lambda *args: change(true, *args)

    return patch


def _measured_negative(module: Any) -> None:
    true = module.measured_kl
    module.measured_kl = lambda *args: -true(*args)


def _nan_once(module: Any) -> None:
    true, calls = module.value_loss, itertools.count(1)
    nan = float("nan")
    module.value_loss = lambda *args: true(*args) * (nan if next(calls) == NAN_AT_CALL else 1.0)


def _zeroed_heads(module: Any) -> None:
    true = module.load_bundle

    def spoiled(*args: Any, **options: Any) -> Any:
        bundle = true(*args, **options)
        if bundle.version.version >= SPOILED_FROM:
            bundle.model.heads.weight.data.zero_()
        return bundle

    module.load_bundle = spoiled


def _deaf(module: Any) -> None:
    async def load(self: Any, version: int, weights: Any) -> None:
        """Take no weights."""

    module.VllmEngine.load = load


INJECTIONS: Mapping[str, Injection] = {
    "clean": Injection(),
    "reward_sign": Injection(
        module="learners.targets", patch=_rewards(lambda true, *args: -true(*args))
    ),
    "score_sign": Injection(  # and the KL's with it, as in Ziegler et al.: −score − β·KL
        module="learners.targets",
        patch=_rewards(lambda true, scores, *others: true(-scores, *others)),
    ),
    "kl_sign": Injection(
        module="learners.targets",
        patch=_rewards(lambda true, *args: true(*args[:-1], -args[-1])),
    ),
    "kl_measured": Injection(module="learners.ppo", patch=_measured_negative),
    "nan_gradient": Injection(module="learners.ppo", patch=_nan_once),
    "head_zeroed": Injection(module="reward_service.hot_swap", patch=_zeroed_heads),
    "weights_not_loaded": Injection(module="actors.vllm_engine", patch=_deaf),
    "labels_inverted": Injection(
        settings=(
            'labelers=[{name = "careful", beta = 2.0, seconds_per_label = 0.9, seed = 1, '
            "is_adversarial = true}, "
            '{name = "average", seconds_per_label = 0.7, seed = 2, is_adversarial = true}, '
            '{name = "hasty", beta = 0.5, seconds_per_label = 0.6, seed = 3, '
            "is_adversarial = true}]",
        )
    ),
    "lr_1000": Injection(settings=("ppo.lr=0.2",)),
}
"""By name."""


class _AfterImport(MetaPathFinder):
    """Patches one module when it is imported."""

    def __init__(self, module: str, patch: Patch) -> None:
        self._module = module
        self._patch = patch

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module as it would be found, and patch it once it has run."""
        if fullname != self._module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def run_and_patch(module: ModuleType) -> None:
            run(module)
            self._patch(module)

        spec.loader.exec_module = run_and_patch  # type: ignore[method-assign]
        return spec


def install(name: str) -> None:
    """Break this process as an injection says."""
    injection = INJECTIONS[name]
    if injection.patch is not None:
        sys.meta_path.insert(0, _AfterImport(injection.module, injection.patch))
