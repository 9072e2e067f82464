"""The model card beside a saved policy: where it comes from, and how much people had to do with it.

In the form that the Hugging Face hub reads. It has counts of labels and labelers, and no names and
no texts. What it may be used for is not for this program to say, so that it names no licence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.report.records import RunRecords
from cluster.report.summary import summarize
from cluster.run_folder import RunFolder
from label_queue.folds.lineage import ancestry, rewards_behind
from label_queue.folds.view import LearnedLabels
from protocol.files import writing
from protocol.folders import FoldersHere
from protocol.labels import PolicyProvenance

CARD = "README.md"
SAVED = "final"
AVERAGED = f"{SAVED}_ema"
MEND = "see that you may write there: the card lies beside the saved policy"
TAGS = ("rlhf", "ppo", "andon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """What people gave to a policy: labels that the rewards it was trained on have learned."""

    num_labels: int
    num_labelers: int


def write_model_cards(run: RunRecords, folder: RunFolder) -> tuple[Path, ...]:
    """Write the card of the policy that a run saved, and of its average; return where they lie.

    None where it saved none, or says not of which version. Called again, it writes them anew.

    Args:
        run: What it left.
        folder: Its folder.

    Raises:
        ResourceError: The disk refuses.
    """
    version = run.state.get("final_policy_version")
    cards = []
    for name in (SAVED, AVERAGED):
        saved = folder.policies / name
        if version is None or not saved.is_dir():
            continue
        text = model_card(run, version, is_average=name == AVERAGED)
        with writing(saved, MEND):
            FoldersHere().amend(saved, CARD, text.encode())
        cards.append(saved / CARD)
    return tuple(cards)


def model_card(run: RunRecords, version: int, *, is_average: bool = False) -> str:
    """Return the card of a policy version.

    Args:
        run: What the run left.
        version: The policy's.
        is_average: Whether it is the average of the versions up to that one.
    """
    # Imported here: the hub's client takes its time.
    from huggingface_hub import ModelCardData

    base = hub_id_of(run)
    data = ModelCardData(
        base_model=base,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=list(TAGS),
    )
    title = f"# {run.config.run.name}, policy version {version}"
    rows = "\n".join(f"| {what} | {value} |" for what, value in _rows(run, version).items())
    average = (
        " These weights are the average of the policy's versions up to this one, by "
        f"`learner.ema.decay` {run.config.learner.ema.decay:g}."
        if is_average and run.config.learner.ema is not None
        else ""
    )
    return f"""---
{data.to_yaml()}
---

{title}

A language model trained by PPO against a reward model that learned from comparisons, with a penalty
on its KL divergence from the model it started from.{average}

| | |
| --- | --- |
{rows}

## Licence

None is set here. Add `license:` above: that of the base model binds you, and the labels and prompts
may have terms of their own.
"""


def labels_behind(run: RunRecords, version: int) -> Behind:
    """Return how many labels, of how many labelers, the rewards behind a policy have learned.

    All rewards that any of its steps was trained on count, of labels taken back since, too.
    """
    view = run.label_side.view()
    learned = LearnedLabels(run.config.labels.quality).rows_by_reward(view)
    rewards = rewards_behind(ancestry(run.policies, version))
    rows: set[int] = set().union(*(learned[each] for each in rewards if each in learned))
    return Behind(num_labels=len(rows), num_labelers=len(_labelers(view.read(sorted(rows)))))


def hub_id_of(run: RunRecords) -> str | None:
    """Return the hub's id of ρ; None where it was a folder, or made by the run."""
    policy = run.config.policy
    return policy.path if policy is not None and _revision(run) is not None else None


def _labelers(events: Iterable[object]) -> set[str]:
    return {labeler for each in events if (labeler := getattr(each, "labeler_id", None))}


def _revision(run: RunRecords) -> str | None:
    revisions: Mapping[str, str] = run.state.get("revisions") or {}
    return revisions.get("policy")


def _rows(run: RunRecords, version: int) -> dict[str, object]:
    """Return what the card says, by what it is called."""
    config, summary = run.config, summarize(run)
    policy = {each.version: each for each in run.policies}.get(version)
    rows: dict[str, object] = {
        "base model": _base(run),
        "base model's revision": _revision(run),
        "policy version": version,
        **_reward(run, policy),
        "labelled by": summary["labelled_by"],
        "trained on, responses": None if policy is None else policy.episodes,
        "KL from the base model, nats a response": _nats(summary["kl_final_mean"]),
        "KL target, nats a response": summary["kl_target"],
        "mode": config.run.mode,
        "prompts": config.prompts.dataset or config.prompts.source,
        "learning rate, batch": f"{config.ppo.lr:g}, {config.ppo.batch_size} responses",
        "adapters": None if config.policy_lora is None else f"rank {config.policy_lora.rank}",
        "seed": config.run.seed,
        "made with": ", ".join(f"{k} {v}" for k, v in (run.state.get("versions") or {}).items()),
    }
    return {what: value for what, value in rows.items() if value not in (None, "")}


def _reward(run: RunRecords, policy: PolicyProvenance | None) -> dict[str, object]:
    if policy is None:
        return {}
    rows: dict[str, object] = {"reward version": policy.reward_version}
    if run.config.run.reward is not None:
        return {**rows, "labels": "those of the reward, which was given"}
    behind = labels_behind(run, policy.version)
    return {**rows, "labels": behind.num_labels, "labelers": behind.num_labelers}


def _base(run: RunRecords) -> str:
    if run.config.policy is None:
        return "made by the run, on generated texts"
    return hub_id_of(run) or f"`{Path(run.config.policy.path).name}`, a folder"


def _nats(figure: object) -> str | None:
    return f"{figure:.2f}" if isinstance(figure, float) else None
