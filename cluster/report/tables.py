"""What the report says in rows, for tools that can sort and filter them.

Prompts, responses and people's names are in it only where that is allowed: the rest says how well,
and not what or who.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from cluster.recordings.records import RolloutRecord
from cluster.report.figures import last_part
from cluster.report.records import RunRecords
from cluster.report.summary import FINAL_PARTS_GOLD
from label_queue.oversight.judgement import Evidence, disagreements
from label_queue.oversight.overview import Disagreement
from label_queue.quality.assessment import Assessment
from protocol.chat import in_one_text

NUM_RESPONSES = 500
"""Responses in a table, of those trained on, at even distances."""
ASSESSED = tuple(field.name for field in fields(Assessment) if field.name != "labeler_id")

Cell = str | float | int | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under named columns; None is a cell that is not known."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def report_tables(run: RunRecords, *, with_text: bool) -> dict[str, Table]:
    """Return the tables of a run by name; those that would have no row are left out.

    Args:
        run: What it left.
        with_text: Whether prompts, responses and labelers' names are shown.
    """
    names = _Names(run.labelers, with_text)
    found = {
        "responses": _responses(run, with_text),
        "labelers": _labelers(run.labelers, names),
        "disagreements": _disagreements(run, names, with_text),
    }
    if with_text:
        found["before_and_after"] = _before_and_after(run)
    return {name: table for name, table in found.items() if table.rows}


def histograms(run: RunRecords) -> dict[str, list[float]]:
    """Return what the last tenth of the episodes was like, value by value; nothing that is empty.

    Scores, kept lengths in tokens and lags in versions are those of responses; KL in nats is the
    mean of each of the run's steps.
    """
    last = last_part(run.trained, FINAL_PARTS_GOLD)
    found = {
        "score": [rollout.score for rollout in last if rollout.score is not None],
        "length": [float(rollout.num_kept) for rollout in last],
        "policy_lag": [float(rollout.policy_lag) for rollout in last],
        "kl": run.series("kl/reference_mean"),
    }
    return {name: values for name, values in found.items() if values}


class _Names:
    """Names of labelers as they are shown: their own, or numbers in their order."""

    def __init__(self, labelers: Sequence[Assessment], with_text: bool) -> None:
        ids = sorted(each.labeler_id for each in labelers)
        self._names = {
            name: name if with_text else f"labeler {number}"
            for number, name in enumerate(ids, start=1)
        }

    def __getitem__(self, labeler_id: str) -> str:
        return self._names[labeler_id]


def _spread(rollouts: Sequence[RolloutRecord], most: int) -> Sequence[RolloutRecord]:
    return rollouts[:: max(1, -(-len(rollouts) // most))]


def _responses(run: RunRecords, with_text: bool) -> Table:
    columns = (
        *("step", "episodes", "oldest_version", "newest_version", "policy_lag"),
        *("reward_version", "score", "length", "is_complete"),
        *(("gold",) if run.has_gold else ()),
        *(("prompt", "response") if with_text else ()),
    )

    def row(each: RolloutRecord) -> Iterator[Cell]:
        yield from (each.step, each.episodes, each.oldest_version, each.newest_version)
        yield from (
            each.policy_lag,
            each.reward_version,
            each.score,
            each.num_kept,
            each.is_complete,
        )
        if run.has_gold:
            yield run.gold(each)
        if with_text:
            yield from (each.prompt, each.text)

    shown = _spread(run.trained, NUM_RESPONSES)
    return Table(columns=columns, rows=tuple(tuple(row(each)) for each in shown))


def _before_and_after(run: RunRecords) -> Table:
    """Return responses of the base model and of the policy at the end to one prompt, side by side.

    The prompts are those that both answered; of several answers the last stands.
    """
    before = {rollout.prompt: rollout for rollout in run.reference}
    after = {rollout.prompt: rollout for rollout in last_part(run.trained, FINAL_PARTS_GOLD)}
    both = [prompt for prompt in before if prompt in after]
    gold = ("gold_before", "gold_after") if run.has_gold else ()
    return Table(
        columns=("prompt", "before", "after", *gold),
        rows=tuple(
            (prompt, before[prompt].text, after[prompt].text)
            + ((run.gold(before[prompt]), run.gold(after[prompt])) if run.has_gold else ())
            for prompt in both
        ),
    )


def _labelers(labelers: Sequence[Assessment], names: _Names) -> Table:
    return Table(
        columns=("labeler", *ASSESSED),
        rows=tuple(
            (names[each.labeler_id], *(_cell(getattr(each, name)) for name in ASSESSED))
            for each in labelers
        ),
    )


def _cell(value: Cell | tuple[str, ...]) -> Cell:
    return ", ".join(value) if isinstance(value, tuple) else value


def _disagreements(run: RunRecords, names: _Names, with_text: bool) -> Table:
    texts = ("prompt", "candidates") if with_text else ()
    found = disagreements(Evidence.of(run.label_side))
    return Table(
        columns=("query_id", "kind", "purpose", "votes", *texts),
        rows=tuple(_dispute(each, names, with_text) for each in found),
    )


def _dispute(each: Disagreement, names: _Names, with_text: bool) -> tuple[Cell, ...]:
    places = {shown.candidate_id: place for place, shown in enumerate(each.candidates, start=1)}
    votes = "; ".join(
        f"{names[vote.labeler_id]}: {'tie' if vote.choice is None else places[vote.choice]}"
        for vote in each.votes
    )
    row: tuple[Cell, ...] = (each.query_id, each.kind, each.purpose, votes)
    if not with_text:
        return row
    texts = "\n".join(f"{places[one.candidate_id]}. {one.text}" for one in each.candidates)
    return (*row, in_one_text(each.prompt.text, each.prompt.messages), texts)
