"""`summary.json`: the run in figures. What is not known is null, and the file says why."""

from __future__ import annotations

from statistics import pstdev

from cluster.report.figures import (
    last_part,
    mean_or_none,
    median_or_none,
    percentile_or_none,
)
from cluster.report.judged import JUDGED_REASONS, judged_figures
from cluster.report.records import RunRecords
from label_queue.figures.validation import WINDOW

Figure = float | int | str | dict[str, str] | None
Summary = dict[str, Figure]

FINAL_PARTS_GOLD = 10
"""Parts of the episodes, of which the last shows what the policy has become."""
FINAL_PARTS_KL = 3
"""Parts of the steps, in the last of which the KL controller has settled."""

REASONS = {
    "run_id": "run.json has none",
    "state": "run.json has none",
    "versions": "run.json does not name them",
    "wall_s": "the run has not ended",
    "base_model_s": "the policy was given, not made here",
    "peak_memory_bytes": "memory was not sampled",
    "gold_base_mean": "the task has no hidden score, or the base model was not sampled",
    "gold_base_std": "the task has no hidden score, or the base model was not sampled",
    "gold_final_mean": "the task has no hidden score, or no PPO step was taken",
    "kl_final_mean": "no PPO step was taken",
    "kl_target": "the KL coefficient is fixed",
    "pretraining_loss_base": "the run has no [pretraining] text, or no PPO step was taken",
    "pretraining_loss_final": "the run has no [pretraining] text, or no PPO step was taken",
    "alignment_tax_final": "the run has no [pretraining] text, or no PPO step was taken",
    "labelled_by": "there is no label",
    "labels_acknowledged": "only simulated labelers count what was acknowledged to them",
    "coverage_median": "no query was made after the first refit",
    "label_to_policy_latency_p50_s": "no label reached a policy that was sampled",
    "label_to_policy_latency_p95_s": "no label reached a policy that was sampled",
    "validation_winrate": "no label compared a trained policy with the base model",
    "validation_winrate_low": "no label compared a trained policy with the base model",
    "validation_winrate_high": "no label compared a trained policy with the base model",
    "validation_winrate_recent": "no label compared a trained policy with the base model",
    "validation_winrate_recent_low": "no label compared a trained policy with the base model",
    "validation_winrate_recent_high": "no label compared a trained policy with the base model",
    "policy_lag_max": "no PPO step was taken",
    "logprob_mismatch_max": "no response was sampled wholly under the version that trained on it",
    "probe_mismatch_max": "the actors loaded no policy",
    "episodes_per_s": "no PPO step was taken",
    "learner_idle": "no PPO step was taken",
    "actor_idle": "the actors' idle time was not measured",
}
"""Why a figure may be null, by its name; those that are not listed never are."""


def summarize(run: RunRecords) -> Summary:
    """Return every headline figure, and under "unknown" why any of them are null.

    Of a run that has not ended, the figures are those so far.
    """
    summary: Summary = {
        **_what_ran(run),
        **_quality(run),
        **_pretraining(run),
        **_labels(run),
        **_online(run),
        **_validation(run),
        **judged_figures(run),
        **_exactness(run),
        **_pace(run),
    }
    reasons = {**REASONS, **JUDGED_REASONS}
    return {
        **summary,
        "unknown": {name: reasons[name] for name, value in summary.items() if value is None},
    }


def _what_ran(run: RunRecords) -> Summary:
    state = run.state
    return {
        "run_id": state.get("run_id"),
        "state": state.get("state"),
        "mode": run.config.run.mode,
        "seed": run.config.run.seed,
        "versions": state.get("versions"),
        "wall_s": state.get("wall_s"),
        "base_model_s": state.get("base_model_s"),
        "peak_memory_bytes": _peak_memory(run),
        "episodes": max((policy.episodes for policy in run.policies), default=0),
    }


def _peak_memory(run: RunRecords) -> int | None:
    """Return the most memory that was read: a driver that is killed writes none into `run.json`."""
    noted = run.state.get("peak_memory_bytes") or 0
    peak = max([noted, *(int(each) for each in run.series("system/rss_bytes"))])
    return peak or None


def _quality(run: RunRecords) -> Summary:
    base = [run.gold(rollout) for rollout in run.reference] if run.has_gold else []
    last = last_part(run.trained, FINAL_PARTS_GOLD) if run.has_gold else []
    is_adaptive = run.config.kl.kind == "adaptive"
    return {
        "gold_base_mean": mean_or_none(base),
        "gold_base_std": pstdev(base) if base else None,
        "gold_final_mean": mean_or_none([run.gold(rollout) for rollout in last]),
        "kl_final_mean": mean_or_none(last_part(run.series("kl/reference_mean"), FINAL_PARTS_KL)),
        "kl_target": run.config.kl.target if is_adaptive else None,
    }


def _pretraining(run: RunRecords) -> Summary:
    """Return what ρ and the newest policy lose on held-out pretraining text, nats a token."""
    losses, taxes = run.series("policy/pretraining_loss"), run.series("policy/alignment_tax")
    if not losses or not taxes:
        names = ("pretraining_loss_base", "pretraining_loss_final", "alignment_tax_final")
        return dict.fromkeys(names)
    return {
        "pretraining_loss_base": losses[-1] - taxes[-1],
        "pretraining_loss_final": losses[-1],
        "alignment_tax_final": taxes[-1],
    }


def _labels(run: RunRecords) -> Summary:
    is_given = run.config.run.mode == "fixed"
    refits = [] if is_given else [each for each in run.rewards if each.kind == "refit"]
    return {
        "labels_acknowledged": run.state.get("labels_acknowledged"),
        "labels_in_ledger": run.label_side.history.num_submitted,
        "labelled_by": run.labelled_by,
        "reward_refits": len(refits),
        "reward_versions": len({reward.version for reward in run.rewards}),
        "labelers_excluded": sum(row.state == "excluded" for row in run.labelers),
        "cord_pulls": sum(event.action == "pull" for event in run.cord),
        "rollbacks": sum(policy.restored_from is not None for policy in run.policies),
    }


def _online(run: RunRecords) -> Summary:
    online = run.label_side.figures.online()
    latencies = [each.seconds for each in online.latencies]
    return {
        "coverage_median": median_or_none([each.share for each in online.coverage]),
        "label_to_policy_latency_p50_s": percentile_or_none(latencies, 0.5),
        "label_to_policy_latency_p95_s": percentile_or_none(latencies, 0.95),
        "labels_not_learned": online.num_waiting,
    }


def _validation(run: RunRecords) -> Summary:
    summary: Summary = {}
    for of, last in (("", None), ("_recent", WINDOW)):
        winrate = run.label_side.figures.winrate(last)
        is_known = winrate.num_labels > 0
        summary |= {
            f"validation_labels{of}": winrate.num_labels,
            f"validation_winrate{of}": winrate.rate if is_known else None,
            f"validation_winrate{of}_low": winrate.low if is_known else None,
            f"validation_winrate{of}_high": winrate.high if is_known else None,
        }
    return summary


def _exactness(run: RunRecords) -> Summary:
    return {
        "policy_lag_max": max((rollout.policy_lag for rollout in run.trained), default=None),
        "max_policy_lag": run.config.run.max_policy_lag,
        "logprob_mismatch_max": max(run.series("rollout/logprob_mismatch_max"), default=None),
        "probe_mismatch_max": max(run.series("rollout/probe_mismatch_max"), default=None),
    }


def _pace(run: RunRecords) -> Summary:
    names = ("episodes_per_s", "learner_idle", "actor_idle")
    return {name: next(reversed(run.series(f"throughput/{name}")), None) for name in names}
