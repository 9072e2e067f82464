"""How well the live reward model orders what comes next, as a run's labels come.

    python -m benchmarks.live_order runs/demo-1 --set labels.refits=1 \
        --set labels.refits=9 --set reward_fit.warm_lr=1e-3

Each `--set` is a variant. The reward trainer gets the labels of the ledger as the run's had them:
a refit at each of the schedule's points, an update every `labels.warm.every_labels` between. Before
it learns labels it is asked about their responses, and judged by the hidden gold score: the share
of pairs that it puts in gold's order. Half is chance. No policy is trained: what is asked was drawn
by the policy of the run, which climbed the run's own reward.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from benchmarks.fit_once import new_trainer
from benchmarks.reward_order import (
    HOST,
    are_in_order,
    labelled,
    overrides_of,
    read,
    say,
    variants_parser,
)
from cluster.alone.fit_reward import at_one_rank
from cluster.config import RunConfig
from cluster.config_file import load_config
from cluster.run_folder import RunFolder
from label_queue.fitting.from_ledger import LedgerFit
from label_queue.folds.view import LedgerView
from label_queue.schedule import LabelSchedule
from label_queue.simulated.gold.registry import gold_of
from learners.engine import free_port, join_ranks, leave_ranks
from protocol.fits import Comparison, FitKind, FitRequest, RewardVersion
from reward_service.bundle import load_bundle

NUM_STRETCHES = 4
"""Equal stretches of the labels, which are judged apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """One fit, as the label queue would have ordered it."""

    kind: FitKind
    learns: Sequence[Comparison]
    then: Sequence[Comparison]
    """Labels between this fit and the next."""
    num_labels: int
    """Labels there were by then."""


def fits(config: RunConfig, labels: Sequence[Comparison]) -> Iterator[Fit]:
    """Yield a run's fits, the first at N₀, each made of the labels until then."""
    schedule = LabelSchedule.of(
        config.labels, num_episodes=config.run.episodes, mode=config.run.mode
    )
    points = list(schedule.refit_points)
    every = config.labels.warm.every_labels
    moments = [*range(points[0], len(labels), every), len(labels)]
    known = 0
    for now, later in pairwise(moments):
        then = labels[now:later]
        if points and points[0] <= now:
            points = [point for point in points if point > now]
            yield Fit(kind="refit", learns=labels[:now], then=then, num_labels=now)
        else:
            count = min(known, round(config.labels.warm.replay * (now - known)))
            drawn = random.Random(f"{config.run.seed}/replay/{now}").sample(labels[:known], count)
            learns = [*drawn, *labels[known:now]]
            yield Fit(kind="warm", learns=learns, then=then, num_labels=now)
        known = now


def requested(fit: Fit, live: RewardVersion | None, whole: FitRequest) -> FitRequest:
    """Return the order for a fit; weights of labelers are those found of all labels."""
    return FitRequest(
        kind=fit.kind,
        ledger_seq=fit.num_labels,
        comparisons=tuple(sorted(fit.learns, key=lambda each: each.seq)),
        labeler_weights=whole.labeler_weights,
        exclusions_sha256=whole.exclusions_sha256,
        labels_used=fit.num_labels,
        goes_on_from=None if fit.kind == "refit" or live is None else live.version,
    )


def judged(
    config: RunConfig, policy: Path, view: LedgerView, whole: LedgerFit
) -> tuple[list[list[bool]], float, float]:
    """Return what was in order, by stretch; CPU seconds of all fits, and of refits alone."""
    labels = sorted(whole.request.comparisons, key=lambda each: each.seq)
    gold = gold_of(config.gold)
    found: list[list[bool]] = [[] for _ in range(NUM_STRETCHES)]
    seconds = {"refit": 0.0, "warm": 0.0}
    with new_trainer(
        policy=policy,
        model=config.reward_model,
        fit=config.reward_fit,
        deepspeed=config.reward_trainer,
        reference=whole.reference_sequences,
    ) as trainer:
        live: RewardVersion | None = None
        for fit in fits(config, labels):
            started = time.process_time()
            live = trainer.fit(requested(fit, live, whole.request))
            seconds[fit.kind] += time.process_time() - started
            assert live is not None, "the only rank answers"
            model = load_bundle(Path(live.path)).model
            stretch = fit.num_labels * NUM_STRETCHES // len(labels)
            found[stretch] += are_in_order(model, fit.then, view, gold)
    return found, sum(seconds.values()), seconds["refit"]


def main() -> None:
    """Run from the command line; see the module."""
    chosen = variants_parser(__doc__).parse_args()
    folder = RunFolder(chosen.run)
    view, policy = labelled(folder)
    join_ranks(0, 1, HOST, free_port(HOST))
    say("| variant | in gold's order | by quarter of the labels | CPU s | of them refits |")
    say("| --- | ---: | --- | ---: | ---: |")
    for variant in chosen.set or [""]:
        config = at_one_rank(load_config(folder.config, overrides_of(variant)))
        whole = read(view, config, None)
        found, all_s, refits_s = judged(config, policy, view, whole)
        quarters = ", ".join(f"{fmean(each):.1%}" if each else "–" for each in found)
        share = fmean(each for stretch in found for each in stretch)
        say(
            f"| {variant or 'as it was'} | {share:.1%} | {quarters} | {all_s:.0f} | "
            f"{refits_s:.0f} |"
        )
    leave_ranks()


if __name__ == "__main__":
    main()
