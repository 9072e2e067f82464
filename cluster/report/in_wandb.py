"""The report in wandb: its pictures, its rows as tables, and histograms, in the run's summary."""

from __future__ import annotations

from cluster.metrics.hub import open_wandb
from cluster.report.records import RunRecords
from cluster.report.tables import histograms, report_tables
from cluster.report.write import PICTURES
from cluster.run_folder import RunFolder


def show_in_wandb(run: RunRecords, folder: RunFolder) -> None:
    """Give the report of a run to its run in wandb, as its config says; blocks until it has it.

    The pictures are those in the folder. Rows that wandb lacks, because it was killed, come first.

    Raises:
        ResourceError: wandb cannot start.
    """
    metrics = run.config.metrics
    if metrics.wandb == "off":
        return
    sink = open_wandb(
        metrics,
        folder=folder.path.resolve(),
        run_id=folder.run_id,
        run_config=run.config.model_dump(mode="json"),
        began_at=folder.began_at,
    )
    pictures = [(folder.report / f"{name}.png", caption) for name, _, caption in PICTURES]
    sink.show(
        pictures=[(path, caption) for path, caption in pictures if path.exists()],
        tables={
            name: (table.columns, table.rows)
            for name, table in report_tables(run, with_text=metrics.wandb_text).items()
        },
        histograms=histograms(run),
    )
    sink.close()
