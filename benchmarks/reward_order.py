"""How well a reward model learned from the first labels of a run orders what came later.

    python -m benchmarks.reward_order runs/demo-1 --labels 256 500 750 --seeds 1 2 3 \
        --set reward_model.pooling=last --set reward_model.pooling=mean

Each `--set` is a variant, fitted anew from the ledger at each number of labels with each seed.
Judged by is the hidden gold score: the share of the pairs of responses in later queries, none of
them learned from, that the reward model puts in gold's order. Half is chance. Beside it stands the
CPU time that the fit took of this process.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean

from benchmarks.fit_once import fitted_once
from cluster.alone.fit_reward import at_one_rank
from cluster.config import RunConfig
from cluster.config_file import load_config
from cluster.run_folder import RunFolder
from label_queue.fitting.from_ledger import LedgerFit, read_fit
from label_queue.folds.view import LedgerView
from label_queue.ledger.sql import SqlLedger
from label_queue.simulated.gold.port import Gold
from label_queue.simulated.gold.registry import gold_of
from learners.comparisons import candidate_sequences
from learners.engine import free_port, join_ranks, leave_ranks
from learners.reward_reading import LIMITS
from protocol.fits import Comparison
from reward_service.batching import raw_scores
from reward_service.reward_model import RewardModel

HOST = "127.0.0.1"


def read(view: LedgerView, config: RunConfig, until_seq: int | None) -> LedgerFit:
    """Return what a fit would learn from the label events up to one; None: from all."""
    return read_fit(
        view,
        config.labels.quality,
        until_seq=until_seq,
        validation_share=0.0,
        num_reference=config.reward_model.num_normalisation_samples,
        seed=config.run.seed,
    )


def are_in_order(
    model: RewardModel, later: Sequence[Comparison], view: LedgerView, gold: Gold
) -> list[bool]:
    """Return whether a reward model orders each pair of each comparison as gold does.

    Pairs that are alike to gold are left out.
    """
    raw = raw_scores(model, candidate_sequences(later), LIMITS)
    scores = iter(model.combined(model.normalised(raw)).tolist())
    in_order = []
    for each in later:
        query = view.queries[each.query_id]
        judged = [
            (gold.score(query.prompt_text, candidate.text), next(scores))
            for candidate in query.candidates
        ]
        for (gold_a, score_a), (gold_b, score_b) in combinations(judged, 2):
            if gold_a != gold_b:
                in_order.append((gold_a > gold_b) == (score_a > score_b))
    return in_order


def judged(config: RunConfig, policy: Path, view: LedgerView, number: int) -> tuple[float, float]:
    """Return the share of later pairs that a fit on the first labels puts in order, and its CPU s.

    Args:
        config: Of the fit.
        policy: ρ's folder.
        view: The labels.
        number: How many of them are learned.
    """
    whole = read(view, config, None)
    until = sorted(each.seq for each in whole.request.comparisons)[number - 1]
    found = read(view, config, until)
    learned = {each.query_id for each in found.request.comparisons}
    later = [
        each
        for each in whole.request.comparisons
        if each.seq > until and each.query_id not in learned
    ]
    began = time.process_time()
    model = fitted_once(
        found.request,
        policy=policy,
        model=config.reward_model,
        fit=config.reward_fit,
        deepspeed=config.reward_trainer,
        reference=whole.reference_sequences,
    )
    took = time.process_time() - began
    return fmean(are_in_order(model, later, view, gold_of(config.gold))), took


def labelled(run: RunFolder) -> tuple[LedgerView, Path]:
    """Return what a run's people said, and the folder of its ρ."""
    ledger = SqlLedger.open_to_read(run.ledger)
    view = LedgerView.of(ledger)
    ledger.close()
    return view, Path(json.loads(run.state.read_text())["policy_path"])


def variants_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of a run and of variants of its config."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run's folder")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE …",
        help="a variant of the config: one key or several, with blanks between",
    )
    return parser


def overrides_of(variant: str) -> list[str]:
    """Return the keys that a variant sets: a blank before another key parts them."""
    return re.split(r"\s+(?=[a-z][\w.]*=)", variant.strip()) if variant.strip() else []


def main() -> None:
    """Run from the command line; see the module."""
    parser = variants_parser(__doc__)
    parser.add_argument("--labels", type=int, nargs="+", default=[256, 500, 750])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    chosen = parser.parse_args()
    folder = RunFolder(chosen.run)
    view, policy = labelled(folder)
    join_ranks(0, 1, HOST, free_port(HOST))
    say("| labels | variant | in gold's order | each seed | a fit, CPU s |")
    say("| ---: | --- | ---: | --- | ---: |")
    for number in chosen.labels:
        for variant in chosen.set or [""]:
            configs = [
                load_config(folder.config, [f"reward_fit.seed={seed}", *overrides_of(variant)])
                for seed in chosen.seeds
            ]
            found = [judged(at_one_rank(each), policy, view, number) for each in configs]
            shares, took = zip(*found, strict=True)
            each_seed = ", ".join(f"{share:.1%}" for share in shares)
            name = variant or "as it was"
            say(f"| {number} | {name} | {fmean(shares):.1%} | {each_seed} | {fmean(took):.0f} |")
    leave_ranks()


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
