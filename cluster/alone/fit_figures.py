"""What a fit from a ledger comes to: the figures as JSON, and in a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from label_queue.figures.agreement import wilson_bounds
from label_queue.fitting.from_ledger import LedgerFit
from label_queue.ledger_place import LedgerPlace
from learners.judging import Judgement
from protocol.fits import RewardVersion

FIGURES_FILE = "fit.json"


def figures_of(
    found: LedgerFit,
    version: RewardVersion,
    *,
    ledger: LedgerPlace,
    training: Judgement,
    held_out: Judgement | None,
    normalised_on: str,
    validation_share: float,
) -> dict[str, object]:
    """Return all figures of a fit, by plain values; what is not known is None."""
    return {
        "ledger": str(ledger),
        "until_seq": found.request.ledger_seq,
        "exclusions_sha256": found.request.exclusions_sha256,
        "labeler_weights": dict(found.request.labeler_weights),
        "validation_share": validation_share,
        "normalised_on": normalised_on,
        "bundle": version.path,
        "sha256": version.sha256,
        "fit_seconds": version.fit_seconds,
        "training": _as_written(training),
        "held_out": None if held_out is None else _as_written(held_out),
        "agreement": found.agreement,
        "agreement_queries": found.num_shared,
    }


def in_words(figures: dict[str, Any], out: Path) -> str:
    """Return the figures in a few lines."""
    training, held_out = figures["training"], figures["held_out"]
    lines = [
        f"fitted      {training['comparisons']} labels up to event {figures['until_seq']}, "
        f"{len(figures['labeler_weights'])} labelers, in {figures['fit_seconds']:.1f} s",
        f"on these    {_judged(training)}",
    ]
    if held_out is None:
        lines.append("held out    none: what is learned cannot be told from what is remembered")
    else:
        low, high = held_out["accuracy_bounds"]
        bounds = "" if held_out["accuracy"] is None else f" (95 %: {low:.2f} to {high:.2f})"
        lines.append(f"held out    {held_out['comparisons']} labels: {_judged(held_out)}{bounds}")
    if figures["agreement"] is None:
        lines.append("ceiling     not known: no query was answered by two labelers")
    else:
        lines.append(
            f"ceiling     labelers agree with each other in {figures['agreement']:.2f} of "
            f"{figures['agreement_queries']} answers to shared queries"
        )
    lines += [f"bundle      {figures['bundle']}", f"figures     {out / FIGURES_FILE}"]
    return "\n".join(lines)


def _judged(figures: dict[str, Any]) -> str:
    if figures["accuracy"] is None:
        return f"ties alone, loss {figures['loss']:.3f} nats"
    return (
        f"accuracy {figures['accuracy']:.2f}, by chance {figures['chance']:.2f}; "
        f"loss {figures['loss']:.3f} nats, calibration error {figures['calibration_error']:.2f}"
    )


def _as_written(judgement: Judgement) -> dict[str, object]:
    return {
        "comparisons": judgement.num_comparisons,
        "decided": judgement.num_decided,
        "accuracy": judgement.accuracy,
        "accuracy_bounds": list(wilson_bounds(judgement.num_hits, judgement.num_decided)),
        "chance": judgement.chance,
        "loss": judgement.loss,
        "calibration_error": judgement.calibration_error,
    }
