"""One rank that loads and writes models taken apart: compares them with whole ones, and counts.

    python -m tests.support.loading_ranks RANK WORLD_SIZE PORT MODEL OUT CASE...

A case is an architecture of `tests.support.architectures`, or one of `KINDS`. Each rank writes
OUT/CASE-RANK.json. MODEL is not used: the models are in OUT, made by `save_models`.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cluster.planning.live_bytes import LiveBytes
from learners.config import DeepSpeedConfig, LearnerConfig, PPOConfig
from learners.engine import Engine, join_ranks, leave_ranks
from learners.fresh_models import FreshModels
from learners.parting import Parting
from learners.policy_model import PolicyModel
from learners.policy_weights import PolicyWeights
from learners.shares import share_name, write_share
from learners.weights import SharedMemoryPublisher
from protocol.errors import InputError
from protocol.messages import WeightsFile
from protocol.model_folder import weight_files
from reward_service.bundle import write_bundle
from reward_service.config import LoRAConfig, RewardModelConfig
from reward_service.reward_model import RewardModel
from tests.support import learner_inputs as inputs
from tests.support.architectures import save_architecture
from tests.support.learner_ranks import HOST
from tests.support.reward import make_reward_version
from tests.support.tiny_model import save_tiny_model

SCALED = "granite, scaled logits"
"""An architecture that is refused as a policy."""
ARCHITECTURES = (
    *("gpt2", "llama tied", "llama untied", "qwen2", "gemma, norm", "mistral, sliding window"),
    *("opt, offset positions", SCALED),
)
OTHER_HEAD = "another head than the config says"
LORA = LoRAConfig(rank=4, alpha=8.0)
REWARD = RewardModelConfig(num_heads=2)
LARGE = "large"
"""A model of 120 MiB in float32."""
WIDTH, ROWS = 512, 4096
LARGEST_BYTES = 4 * WIDTH * ROWS
"""Of its embeddings, and of its head."""
SLACK = 2**23
"""Bytes beyond a rank's share and one largest weight: a weight's other copy while it is read, or
what a layer has beyond the largest weight while the architecture is tried."""
SMALL = 2**16
"""Bytes of tensors that are no weights."""
NUM_PUBLISHED = 2
"""Weights held while one is published: as it came from all ranks or goes out, and whole."""
LOADED = {"policy": (1, 1), "policy and critic": (1, 2), "reward": (0, 1)}
"""Heads and trunks of what is loaded."""


def save_models(folder: Path) -> None:
    """Write all models, and the rewards that critics start from."""
    for name in ARCHITECTURES:
        save_architecture(name, folder / name)
    other = save_architecture("llama tied", folder / OTHER_HEAD) / "model.safetensors"
    tensors = load_file(other)
    save_file({**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"] + 1.0}, other)
    for lora in (None, LORA):
        config = REWARD.model_copy(update={"lora": lora})
        generator = torch.Generator().manual_seed(3)
        model = RewardModel.from_reference(folder / "qwen2", config, generator)
        for each in model.parameters():
            each.data += 1e-3 * torch.randn(each.shape, generator=generator)
        root = (folder / f"reward-{lora is not None}").absolute()
        write_bundle(root, model, make_reward_version(1))


def save_large(folder: Path) -> None:
    """Write the model of `LARGE`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    save_tiny_model(folder)
    config = LlamaConfig(
        vocab_size=ROWS,
        hidden_size=WIDTH,
        intermediate_size=1536,
        num_hidden_layers=8,
        num_attention_heads=8,
        max_position_embeddings=64,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def main(rank: int, world_size: int, port: int, out: Path, cases: list[str]) -> None:
    torch.set_num_threads(1)
    join_ranks(rank, world_size, HOST, port)
    for case in cases:
        if case == LARGE:
            told: dict[str, Any] = counted(out, world_size) | written(out, world_size)
        else:
            told = compared(out, case, world_size)
        (out / f"{case.replace('/', ', ')}-{rank}.json").write_text(
            json.dumps(told), encoding="utf-8"
        )
    leave_ranks()


def told_in(out: Path, case: str, rank: int) -> Path:
    """Return the file in which a rank tells of a case."""
    return out / f"{case.replace('/', ', ')}-{rank}.json"


def compared(out: Path, case: str, world_size: int) -> dict[str, str]:
    """Return how each kind of model, of each type, taken apart differs from the whole; "": not."""
    name, *kinds = case.split("/")
    told = {}
    for dtype in ("float32", "bfloat16"):
        config = inputs.engine_config(world_size, 3, dtype=dtype)
        for kind in kinds or ["policy", "reward"]:
            makers = KIND[kind](out, name, config)
            told[f"{kind} in {dtype}"] = _difference(makers, config)
    return told


Maker = Callable[[Parting], nn.Module]


def _policy(
    out: Path, name: str, _: LearnerConfig, lora: LoRAConfig | None = None, **ppo: object
) -> Maker:
    config = PPOConfig.model_validate({"critic": "separate", **ppo})
    return lambda parting: PolicyModel.from_pretrained(out / name, config, lora, 5, parting)


def _critic_of(out: Path, name: str, config: LearnerConfig, *, lora: bool) -> Maker:
    return _policy(out, name, config, critic_path=str(out / f"reward-{lora}" / "v000001"))


def _reward(out: Path, name: str, config: LearnerConfig, lora: LoRAConfig | None = None) -> Maker:
    model = REWARD.model_copy(update={"lora": lora})

    def make(parting: Parting) -> nn.Module:
        engine = config if parting.is_on else DeepSpeedConfig()
        return FreshModels(out / name, model, 5, engine).draw(is_checked=True)

    return make


KIND: dict[str, Callable[[Path, str, LearnerConfig], Maker]] = {
    "policy": _policy,
    "adapters": partial(_policy, lora=LORA),
    "critic of a reward": partial(_critic_of, lora=False),
    "critic of a reward's adapters": partial(_critic_of, lora=True),
    "reward": _reward,
    "reward's adapters": partial(_reward, lora=LORA),
}


def _difference(make: Maker, config: LearnerConfig) -> str:
    parting = Parting(config)
    verdicts, models = [], []
    for each in (Parting(), parting):
        try:
            models.append(make(each))
            verdicts.append("")
        except InputError as error:
            verdicts.append(str(error))
    if len(set(verdicts)) > 1:
        return f"one is refused: {verdicts}"
    if not models:
        return "both are refused"
    whole, parted = models
    parting.take(parted)
    return _first_difference(whole, parted, parting, getattr(torch, config.dtype))


def _first_difference(
    whole: nn.Module, parted: nn.Module, parting: Parting, dtype: torch.dtype
) -> str:
    ours = dict(parted.named_parameters(remove_duplicate=False))
    theirs = dict(whole.named_parameters(remove_duplicate=False))
    if ours.keys() != theirs.keys():
        return f"names: {min(ours.keys() ^ theirs.keys())}"
    if _ties(ours) != _ties(theirs):
        return "what is tied"
    for name, parameter in ours.items():
        if parameter.numel():
            return f"{name} is whole"
        if parameter.requires_grad != theirs[name].requires_grad:
            return f"whether {name} is trained"
        with parting.whole([parameter]):
            if not torch.equal(parameter.detach().clone(), theirs[name].detach().to(dtype)):
                return name
    buffers = dict(parted.named_buffers())
    for name, buffer in whole.named_buffers():
        if not torch.equal(buffer, buffers[name]):
            return name
    return ""


def _ties(parameters: dict[str, nn.Parameter]) -> set[frozenset[str]]:
    groups: dict[int, set[str]] = {}
    for name, each in parameters.items():
        groups.setdefault(id(each), set()).add(name)
    return set(map(frozenset, groups.values()))


class LastingBytes(LiveBytes):
    """Counts what this process's own code holds, without what Gloo's threads let go of late.

    A thread of Gloo's has the tensors of its last collective until it runs again: milliseconds
    after whoever waited for them went on, and longer where processors are busy. So where more is
    held than is allowed, these threads have `PATIENCE_S` to let go before it counts.

    Args:
        most: Bytes that are allowed at once.
        known: As in `LiveBytes`.
    """

    PATIENCE_S = 20.0

    def __init__(self, most: int, known: Iterable[Tensor] = ()) -> None:
        super().__init__("cpu", known)
        self._most = most

    def settled(self, most: int) -> int:
        """Return the bytes that are held, once it is no more than `most`, or patience is over."""
        until = time.monotonic() + self.PATIENCE_S
        while self.held > most and time.monotonic() < until:
            time.sleep(0.001)
        return self.held

    def _count(self, tensor: Tensor) -> None:
        before = self.peak
        super()._count(tensor)
        if self.peak > max(before, self._most):
            self.peak = max(before, self.settled(self._most))


def _forget_the_past() -> None:
    """Have garbage collected as often as in a new process: what this one did before is left out.

    How soon what lies in a circle is found depends on how many objects there are, and so would the
    most bytes that are held at once.
    """
    gc.collect()
    gc.freeze()
    gc.collect()


def share_of(folder: Path, loaded: str, world_size: int) -> int:
    """Return the bytes of a rank's part of something in `LOADED`."""
    (file,) = weight_files(folder)
    num_heads, num_trunks = LOADED[loaded]
    trunk = file.stat().st_size - LARGEST_BYTES
    return (num_heads * LARGEST_BYTES + num_trunks * trunk) // world_size


def counted(out: Path, world_size: int) -> dict[str, dict[str, int]]:
    """Return the bytes held when each kind of model is loaded, and the most until then."""
    folder = out / LARGE
    told = {}
    for stage in (0, 3):
        config = inputs.engine_config(world_size, stage)
        parting = Parting(config)
        separate = PPOConfig(critic="separate")
        policy = partial(PolicyModel.from_pretrained, folder, parting=parting)
        loads: dict[str, Callable[[], Any]] = {
            "policy": partial(policy, PPOConfig()),
            "policy and critic": partial(policy, separate),
            "reward": partial(FreshModels(folder, REWARD, 5, config).draw, is_checked=True),
        }
        for name, load in loads.items():
            _forget_the_past()
            share = share_of(folder, name, world_size if stage == 3 else 1)
            with LastingBytes(share + LARGEST_BYTES + SLACK) as live:
                model = load()
                gc.collect()
            told[f"{name} at stage {stage}"] = {"held": live.settled(share), "peak": live.peak}
            del model
    return told


def written(out: Path, world_size: int) -> dict[str, dict[str, int]]:
    """Return the most bytes held beside a policy's engine while it is published and kept."""
    config = inputs.engine_config(world_size, 3)
    folder = out / LARGE
    model = PolicyModel.from_pretrained(folder, PPOConfig(), parting=Parting(config))
    engine = Engine(model, config)
    weights = PolicyWeights(engine, folder, adapters_travel=False)
    publisher = SharedMemoryPublisher(out / "published") if engine.rank == 0 else None
    known = [*engine.state().values(), *(x.ds_tensor for x in engine.module.parameters())]
    told = {}
    with LastingBytes(NUM_PUBLISHED * LARGEST_BYTES + SMALL, known) as live:
        sent = weights.to_publish().taken(
            None if publisher is None else partial(publisher.publish, 0)
        )
    told["published"] = {"held": live.settled(SMALL), "peak": live.peak}
    with LastingBytes(SMALL, known) as live:
        write_share(out / share_name(engine.rank), engine.state())
    told["kept"] = {"held": live.settled(SMALL), "peak": live.peak}
    if isinstance(sent, WeightsFile):
        before, after = load_file(folder / "model.safetensors"), load_file(sent.path)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], x) for name, x in after.items())
    module = weakref.ref(model)
    engine.close()
    del known, model, weights, engine
    gc.collect()
    assert module() is None, "of an engine that is closed nothing stays"
    return told


if __name__ == "__main__":
    rank, world_size, port, _, out, *cases = sys.argv[1:]
    main(int(rank), int(world_size), int(port), Path(out), cases)
