"""The work that both do: models, prompts, sizes."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from tests.support.reward import write_reward_versions

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")
VOCABULARY = 500
PROMPT_TOKENS = 8
NUM_PROMPTS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """PPO on a GPT-2 of 0.9 M weights (width 128, 4 layers), against a reward of the same shape."""

    folder: str
    model: str
    """Folder of the policy, which is the reference policy too."""
    prompts: list[list[int]]
    """[256][8] token ids."""
    episodes: int
    batch_size: int = 128
    epochs: int = 4
    minibatches: int = 4
    response_tokens: int = 24
    lr: float = 1e-5


def make_task(folder: Path, episodes: int) -> Task:
    """Write models, prompts and the task's file `task.json` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model = write_model(folder / "model")
    rng = random.Random(1)
    ids = range(len(SPECIAL_TOKENS), VOCABULARY)
    prompts = [rng.choices(ids, k=PROMPT_TOKENS) for _ in range(NUM_PROMPTS)]
    lines = [json.dumps({"prompt": " ".join(f"w{each}" for each in prompt)}) for prompt in prompts]
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    task = Task(
        folder=str(folder),
        model=str(model),
        prompts=prompts,
        episodes=episodes,
    )
    (folder / "task.json").write_text(json.dumps(asdict(task)))
    return task


def write_reward(task: Task) -> Path:
    """Write a reward version that nobody fitted; return its bundle."""
    root = Path(task.folder) / "reward"
    shutil.rmtree(root, ignore_errors=True)
    (version,) = write_reward_versions(root, Path(task.model), 1)
    return Path(version.path)


def write_model(folder: Path, context_tokens: int = 64) -> Path:
    """Write a GPT-2 of 0.9 M random weights and its tokenizer, unless it is there."""
    if folder.exists():
        return folder
    names = [*SPECIAL_TOKENS, *(f"w{each}" for each in range(len(SPECIAL_TOKENS), VOCABULARY))]
    words = Tokenizer(
        models.WordLevel({name: each for each, name in enumerate(names)}, unk_token="<unk>")
    )
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
    )
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=context_tokens,
        n_embd=128,
        n_layer=4,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        activation_function="gelu_pytorch_tanh",  # in one kernel for TRL, too
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(1)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
