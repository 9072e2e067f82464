"""Where a label's time goes until a policy has learned it, of runs that have ended.

    python -m benchmarks.label_path runs/demo-1 runs/demo-2

Medians over the updates of the reward, in seconds: from a label to the last that came before its
update began; from that one to the update, time in which nothing was done for either; the update;
the swap, until the label queue has noted the version; and from there to the first policy that was
trained on it. The table is Markdown, as in docs/results/demo.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, median

import click

from cluster.recordings.streams import FITS, read
from cluster.run_folder import RunFolder
from label_queue.folds.view import LedgerView
from label_queue.ledger.sql import SqlLedger
from protocol.labels import AnswerEvent
from protocol.seq_ranges import numbers_in

STRETCHES = ("labels", "gathering", "waiting", "update", "swap", "to the policy")
"""How many labels went together, and of their way, in order, the seconds."""


def ways(folder: RunFolder) -> Iterator[tuple[float, ...]]:
    """Yield, for the labels that each update learned first, the figures of `STRETCHES`."""
    ledger = SqlLedger.open_to_read(folder.ledger)
    try:
        view = LedgerView.of(ledger)
    finally:
        ledger.close()
    received = {each.seq: each.received_at for each in view.events if isinstance(each, AnswerEvent)}
    # A refit is worked off beside updates, and is no part of their way.
    fits = [each for each in read(folder.recordings, FITS) if each.doing == "warm"]
    known: set[int] = set()
    for version in view.rewards:
        learned = set(numbers_in(version.learned or ()))
        new = [received[seq] for seq in learned - known]
        known |= learned
        noted = version.announced_at
        policy = next((p for p in view.policies if p.reward_version >= version.version), None)
        if version.kind == "refit" or not new or noted is None or policy is None:
            continue
        fit = max((each for each in fits if each.ended_at <= noted), key=lambda each: each.ended_at)
        yield (
            float(len(new)),
            max(new) - fmean(new),
            fit.started_at - max(new),
            fit.ended_at - fit.started_at,
            noted - fit.ended_at,
            policy.created_at - noted,
        )


def main() -> None:
    """Print the table of what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs that have ended")
    runs = parser.parse_args().runs
    click.echo(f"| run | {' | '.join(STRETCHES)} |\n| --- |{' ---: |' * len(STRETCHES)}")
    for run in runs:
        medians = map(median, zip(*ways(RunFolder(run)), strict=True))
        click.echo(f"| {run.name} | {' | '.join(f'{each:.1f}' for each in medians)} |")


if __name__ == "__main__":
    main()
