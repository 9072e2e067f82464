"""The report in wandb: its pictures, its rows as tables, and histograms, in the run's summary.

And what the run made, as artifacts with their lineage, where the config asks for them.
"""

from __future__ import annotations

from cluster.metrics.grouping import group_of
from cluster.metrics.hub import open_wandb, wandb_id_of
from cluster.report.records import RunRecords
from cluster.report.tables import histograms, report_tables
from cluster.report.write import pictures_of
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
    pictures = [(folder.report / f"{name}.png", caption) for name, _, caption in pictures_of(run)]
    sink.show(
        pictures=[(path, caption) for path, caption in pictures if path.exists()],
        tables={
            name: (table.columns, table.rows)
            for name, table in report_tables(run, with_text=metrics.wandb_text).items()
        },
        histograms=histograms(run),
    )
    sink.close()


def show_lineage_in_wandb(run: RunRecords, folder: RunFolder) -> int:
    """Give what a run made to wandb, as its config says; return how many artifacts are new there.

    Blocks until wandb has them. Called again, it gives what has come since.

    Raises:
        AndonError: wandb cannot start, or a file of the run is not as it was written.
    """
    metrics = run.config.metrics
    if metrics.wandb == "off" or not metrics.wandb_artifacts:
        return 0
    from cluster.metrics.wandb_lineage import LineageRun, give_lineage
    from cluster.report.lineage import describe_lineage

    return give_lineage(
        describe_lineage(run, folder),
        LineageRun(
            wandb_id=wandb_id_of(folder.path.resolve(), folder.run_id, folder.began_at),
            name=folder.run_id,
            group=group_of(run.config.model_dump(mode="json")),
            project=metrics.wandb_project,
            mode=metrics.wandb,
        ),
    )
