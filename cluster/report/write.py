"""Writes `report/` of a run: pictures, `summary.json` and `index.html`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from cluster.recordings.records import RolloutRecord
from cluster.report.figures import last_part
from cluster.report.page import Picture, Sample, render_page
from cluster.report.picture_time import draw_time
from cluster.report.pictures_judges import draw_judges
from cluster.report.pictures_labels import (
    draw_labelers,
    draw_online,
    draw_schedule,
    draw_validation,
)
from cluster.report.pictures_policy import draw_kl, draw_scores, draw_staleness
from cluster.report.records import RunRecords, read_run
from cluster.report.summary import FINAL_PARTS_GOLD, summarize
from cluster.run_folder import RunFolder, write_json
from protocol.files import writing

NUM_SAMPLES = 12
MEND = "see that you may write there: the report lies in the run's folder"

PICTURES: tuple[tuple[str, Callable[[RunRecords, Path], None], str], ...] = (
    (
        "scores",
        draw_scores,
        "Scores against episodes. Orange lines mark the first step trained on a reward that was "
        "refitted from scratch; scores of different reward versions are not comparable.",
    ),
    ("kl", draw_kl, "KL divergence to the base model, and the coefficient that steers it."),
    (
        "validation",
        draw_validation,
        "Above: of the labels that compared the policy of the moment with the base model, how many "
        "preferred the policy. Below: how often the reward model ranks the chosen answer first: of "
        "the labels each version learned, as it learned them, and of the newest 100 labels that no "
        "version had learned when it was asked, on the policy's own responses and on validation "
        "queries, with 95 % bounds.",
    ),
    (
        "schedule",
        draw_schedule,
        "Labels that train, received when each episode was trained, and the schedule; PPO waits "
        "below it.",
    ),
    (
        "online",
        draw_online,
        "How online the run was. Above, for each query: of the training set when it was made, the "
        "share that the policy it shows had learned. Below, for each label: the time from its "
        "receipt to the first response sampled from a policy that had learned it; labels that no "
        "such policy has learned yet are not shown.",
    ),
    (
        "staleness",
        draw_staleness,
        "Age of the oldest token of each rollout when it was trained on, in policy versions.",
    ),
    (
        "time",
        draw_time,
        "When each process was at work, and when the cord was pulled, if it was; of the actors, "
        "how much of the time, for candidates of queries too. The learner's low bars are its "
        "waits. How busy each was counts from the first PPO step on, and for learner and actors "
        "leaves out the time the learner stood at the pulled cord. Labels are given all the while, "
        "by {who}.",
    ),
    (
        "labelers",
        draw_labelers,
        "Each labeler's labels, and on the queries they shared how many of the others chose the "
        "same, as in the table.",
    ),
)

JUDGES = (
    "judges",
    draw_judges,
    "Above: how many choices preferred the policy to the base model, on queries that judges and "
    "labelers who train have both answered, with 95 % bounds; what judges said was never learned. "
    "Below: the base model, at 0 and 50 %, and versions of the policy put together, by the last "
    "reward's score of their responses and by how often {who} preferred them.",
)
"""The picture of a run that has judges. Here as above, `{who}` in a caption is who labelled."""


def pictures_of(run: RunRecords) -> Sequence[tuple[str, Callable[[RunRecords, Path], None], str]]:
    """Return a run's pictures, in the order they are shown: name, what draws it, and caption."""
    pictures = (*PICTURES, JUDGES) if run.label_side.judges else PICTURES
    who = run.labelers_in_words
    return [(name, draw, caption.format(who=who)) for name, draw, caption in pictures]


def write_report(path: Path, run: RunRecords | None = None) -> Path:
    """Write the report of the run in a folder, which may still go on; return the page's path.

    Args:
        path: The folder.
        run: What it holds, where that has been read already.

    Raises:
        MissingError: The folder holds no run.
        InputError: A file in it is not what it should be.
        ResourceError: One may not be read, or the report cannot be written.
    """
    run = read_run(path) if run is None else run
    folder = RunFolder(path).report
    with writing(folder, MEND):
        return _write(run, folder)


def _write(run: RunRecords, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    pictures = []
    for name, draw, caption in pictures_of(run):
        target = folder / f"{name}.png"
        draw(run, target)
        pictures.append(Picture(path=target, caption=caption))
    summary = summarize(run)
    write_json(folder / "summary.json", summary)
    before = _samples(run, run.reference)
    after = _samples(run, last_part(run.trained, FINAL_PARTS_GOLD))
    page = folder / "index.html"
    page.write_text(render_page(summary, pictures, before, after, run.labelers), encoding="utf-8")
    return page


def _samples(run: RunRecords, rollouts: Sequence[RolloutRecord]) -> list[Sample]:
    """Return `NUM_SAMPLES` responses at even distances, or all if there are fewer."""
    stride = max(1, len(rollouts) // NUM_SAMPLES)
    return [
        Sample(
            prompt=rollout.prompt,
            text=rollout.text,
            gold=run.gold(rollout) if run.has_gold else None,
        )
        for rollout in rollouts[::stride][:NUM_SAMPLES]
    ]
