"""The catalogue: every metric there is, its step axis, its unit and what it means.

A row is a flat mapping of names to finite numbers. All its names share one step axis, and the
row carries that axis. What is not in the catalogue is rejected, so that a misspelt name fails in
a test and does not become a panel nobody looks at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from protocol.errors import NotFinite

Row = Mapping[str, float | int | str]

POLICY_STEP = "policy/step"
REWARD_VERSION = "reward_model/version"
LABEL_SEQ = "labels/seq"
WALL_S = "time/wall_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One name of the catalogue."""

    name: str
    """Prefix and name, e.g. "policy/loss"."""
    axis: str
    """The metric it is drawn against, e.g. "policy/step"; of an axis, itself."""
    unit: str
    """E.g. "nats"; "1" for a ratio, a share or a plain number."""
    meaning: str
    """One line."""


AXES = {
    POLICY_STEP: ("steps", "PPO steps taken"),
    REWARD_VERSION: ("versions", "reward versions published"),
    LABEL_SEQ: ("events", "the ledger's sequence number"),
    WALL_S: ("s", "time since the run began, pauses between resumes left out"),
}

_PREFIXES: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "policy": (
        POLICY_STEP,
        {
            "loss": ("1", "PPO's clipped policy loss"),
            "value_loss": ("1", "clipped value loss, before its coefficient"),
            "entropy": ("nats", "mean entropy of the next-token distribution"),
            "approx_kl": ("nats", "mean ½(log π_new − log π_old)² a token, over the update"),
            "clip_fraction": ("1", "share of tokens whose ratio was clipped"),
            "grad_norm": ("1", "gradient norm before clipping"),
            "lr": ("1", "learning rate of the step"),
            "version": ("versions", "policy version the step published"),
            "episodes": ("episodes", "episodes trained so far"),
            "winrate_vs_reference": ("1", "share of validation labels that preferred π to ρ"),
        },
    ),
    "kl": (
        POLICY_STEP,
        {
            "reference_mean": ("nats", "batch mean of Σ_t (log π − log ρ)"),
            "reference_max": ("nats", "batch maximum of Σ_t (log π − log ρ)"),
            "coefficient": ("1/nat", "β, the price of a nat"),
            "target": ("nats", "what the controller steers the mean to"),
        },
    ),
    "reward": (
        POLICY_STEP,
        {
            "score_mean": ("1", "mean score of the batch, normalised by its reward version"),
            "score_std": ("1", "standard deviation of the scores"),
            "score_p05": ("1", "5th percentile of the scores"),
            "score_p95": ("1", "95th percentile of the scores"),
            "kl_penalty": ("1", "batch mean of β·Σ_t (log π − log ρ)"),
            "ensemble_std": ("1", "mean standard deviation across the ensemble's heads"),
            "length_correlation": ("1", "correlation of score and kept length"),
            "version": ("versions", "reward version of the batch"),
            "gold_mean": ("1", "mean hidden score, where one exists; nothing learns from it"),
        },
    ),
    "reward_model": (
        REWARD_VERSION,
        {
            "loss": ("nats", "training loss of the fit"),
            "train_accuracy": ("1", "share of training labels whose choice it ranks first"),
            "validation_accuracy": ("1", "the same, on labels held out of the fit"),
            "validation_accuracy_current_policy": ("1", "the same, on the newest policy's queries"),
            "ece": ("1", "expected calibration error of its choice probabilities"),
            "labels_used": ("labels", "distinct labels the version has learned from"),
            "ledger_seq": ("events", "the ledger up to where it learned"),
            "fit_seconds": ("s", "duration of the fit"),
            "correlation_with_previous": ("1", "of its scores with its predecessor's"),
            "anchor_accuracy": ("1", "accuracy on the pinned anchor pairs"),
        },
    ),
    "labels": (
        LABEL_SEQ,
        {
            "received": ("labels", "label events that came in"),
            "accepted": ("labels", "of those, stored as a label"),
            "duplicate": ("labels", "of those, repeats of a stored one"),
            "rejected": ("labels", "refused: invalid, of another, of another run"),
            "retracted": ("labels", "taken back"),
            "tie_rate": ("1", "share of ties"),
            "skip_rate": ("1", "share of skips"),
            "both_bad_rate": ("1", 'share of "both bad"'),
            "redrawn": ("responses", "drawn anew, being alike another of their query, so far"),
            "rate_per_min": ("labels/min", "labels received over the last minute"),
            "scheduled": ("labels", "l(n), labels wanted by now"),
            "deficit": ("labels", "labels short of l(n); PPO waits while above 0"),
            "outstanding": ("queries", "queries asked and not yet answered"),
            "latency_p50": ("s", "median time from query to label"),
            "latency_p95": ("s", "95th percentile of the time from query to label"),
            "agreement_alpha": ("1", "Krippendorff's α over queries with several labels"),
            "first_position_rate": ("1", "share of choices that fell on the first shown"),
            "gold_accuracy": ("1", "share of gold questions answered right"),
            "connectors_failing": ("tools", "outside labelling tools that do not answer now"),
            "connector_failures": ("sweeps", "readings of outside tools that failed"),
            "connector_stale": ("labels", "outside answers ignored as older than what stands"),
            "connector_refused": ("labels", "outside answers of which no label can be made"),
        },
    ),
    "labelers": (
        LABEL_SEQ,
        {
            "active": ("labelers", "labelers who hold a task or gave a label in the last 5 min"),
            "probation": ("labelers", "labelers not yet cleared"),
            "suspended": ("labelers", "labelers whose labels are held back"),
            "median_gold_accuracy": ("1", "median over labelers of their gold accuracy"),
            "max_share": ("1", "largest share of labels from one labeler"),
        },
    ),
    "online": (
        POLICY_STEP,
        {
            "coverage": ("1", "labels the sampling policy had learned, of those received"),
            "label_to_policy_latency_p50": (
                "s",
                "median, label received to first rollout of it",
            ),
            "label_to_policy_latency_p95": ("s", "95th percentile of the same"),
            "query_policy_lag": ("versions", "age of the policy the newest queries show"),
        },
    ),
    "rollout": (
        POLICY_STEP,
        {
            "length_mean": ("tokens", "mean kept length of the responses"),
            "truncated_rate": ("1", "share of responses without the cut or end token"),
            "tokens_per_s": ("tokens/s", "sampled tokens a second, all actors"),
            "queue_depth": ("rollouts", "scored rollouts left when a batch was taken"),
            "logprob_mismatch_mean": ("nats", "mean |sampler − trainer| log-probability a token"),
            "logprob_mismatch_max": ("nats", "maximum |sampler − trainer| a token"),
        },
    ),
    "staleness": (
        POLICY_STEP,
        {
            "policy_lag_mean": ("versions", "mean age of the batch's rollouts"),
            "policy_lag_max": ("versions", "age of the oldest rollout in the batch"),
            "reward_lag": ("versions", "served reward versions newer than the batch's"),
            "importance_weight_mean": ("1", "mean of w = π_prox/π_behave, after the cap"),
            "importance_weight_capped": ("1", "share of tokens whose w was capped"),
            "dropped": ("rollouts", "rollouts dropped as too old or unscored, so far"),
        },
    ),
    "throughput": (
        WALL_S,
        {
            "episodes_per_s": ("episodes/s", "PPO episodes trained a second"),
            "learner_idle": ("1", "share of time the learner waited, for anything but the cord"),
            "actor_idle": ("1", "share of time the actors waited"),
            "weight_sync_s": ("s", "spent loading and proving new weights, so far"),
            "generation_s": ("s", "actors' time with a request in flight, summed, so far"),
            "training_s": ("s", "learner's time in PPO steps, so far"),
            "scoring_s": ("s", "batches' wait for scores of one version, so far"),
        },
    ),
    "cord": (
        WALL_S,
        {
            "is_pulled": ("1", "1 while the cord is pulled, 0 once it is released"),
            "stopped_s": ("s", "learner stood at the pulled cord, so far"),
        },
    ),
    "system": (
        WALL_S,
        {
            "restarts": ("restarts", "processes started again, so far"),
            "rss_bytes": ("bytes", "memory of all processes of the run"),
            "disk_free_bytes": ("bytes", "left where the run folder lies"),
            "ledger_commit_p95_s": ("s", "95th percentile of the ledger's commit time"),
        },
    ),
}


def _build() -> dict[str, Metric]:
    axes = [
        Metric(name=name, axis=name, unit=unit, meaning=meaning)
        for name, (unit, meaning) in AXES.items()
    ]
    others = [
        Metric(name=f"{prefix}/{name}", axis=axis, unit=unit, meaning=meaning)
        for prefix, (axis, names) in _PREFIXES.items()
        for name, (unit, meaning) in names.items()
    ]
    return {metric.name: metric for metric in (*axes, *others)}


CATALOGUE: Mapping[str, Metric] = _build()


def checked(row: Row) -> str:
    """Check a row and return the step axis its names share.

    Raises:
        ValueError: A name is unknown, the names have different axes, the axis is missing, there
            is nothing but an axis, or a value is no number.
        NotFinite: A value is NaN or infinite.
    """
    unknown = sorted(set(row) - set(CATALOGUE))
    if unknown:
        raise ValueError(f"unknown metric {unknown[0]!r}; add it to cluster/metrics/names.py")
    axes = {CATALOGUE[name].axis for name in row if name not in AXES}
    if len(axes) != 1:
        raise ValueError(f"a row has one step axis, this one has {sorted(axes)}: {sorted(row)}")
    axis = axes.pop()
    if axis not in row:
        raise ValueError(f"a row with {sorted(row)[0]!r} must carry its step {axis!r}")
    for name, value in row.items():
        if isinstance(value, str):
            raise ValueError(f"metric {name!r} must be a number, not {value!r}")
        if not math.isfinite(value):
            raise NotFinite(f"metric {name!r} is {value}")
    return axis
