"""TRL's PPO at the work of a `Task`; runs in a virtual environment of its own, without Andon.

    python trl_ppo.py TASK_FILE THREADS FOLDER

Prints episodes a second as its last line: from the end of the first batch to the end of the last.
FOLDER is where TRL may write.
"""

import json
import sys
import time
from pathlib import Path

import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
    TrainerCallback,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer  # type: ignore[import-not-found]


class Moments(TrainerCallback):  # type: ignore[misc]
    """When each batch was done."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        """Note one more."""
        self.ends.append(time.perf_counter())


def main() -> None:
    """Train, and say how fast it went."""
    task, threads = json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2])
    torch.set_num_threads(threads)
    folder = task["model"]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, padding_side="left")

    def scorer() -> object:
        return AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=1, pad_token_id=tokenizer.pad_token_id
        )

    rows = {"input_ids": task["prompts"] * (1 + task["episodes"] // len(task["prompts"]))}
    moments = Moments()
    trainer = PPOTrainer(
        args=PPOConfig(
            output_dir=sys.argv[3],
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            learning_rate=task["lr"],
            total_episodes=task["episodes"],
            per_device_train_batch_size=task["batch_size"],
            gradient_accumulation_steps=1,
            num_mini_batches=task["minibatches"],
            num_ppo_epochs=task["epochs"],
            local_rollout_forward_batch_size=task["batch_size"],
            response_length=task["response_tokens"],
            temperature=1.0,
            num_sample_generations=0,
            whiten_rewards=True,
            save_strategy="no",
            report_to=[],
        ),
        processing_class=tokenizer,
        model=AutoModelForCausalLM.from_pretrained(folder),
        ref_model=AutoModelForCausalLM.from_pretrained(folder),
        reward_model=scorer(),
        value_model=scorer(),
        train_dataset=Dataset.from_dict(rows),
        eval_dataset=Dataset.from_dict({"input_ids": rows["input_ids"][: task["batch_size"]]}),
        callbacks=[moments],
    )
    trainer.train()
    first, last = moments.ends[0], moments.ends[-1]
    rate = (len(moments.ends) - 1) * task["batch_size"] / (last - first)
    sys.stdout.write(f"\n{rate}\n")


if __name__ == "__main__":
    main()
