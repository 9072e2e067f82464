"""What commands about people print: how they stand, what an act changes, by what they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.commands.shared import in_columns

if TYPE_CHECKING:
    from label_queue.folds.people import Person
    from label_queue.ledger.records import Role
    from label_queue.oversight.exclusion import ExclusionPreview
    from label_queue.quality.assessment import Assessment


def in_words(what: str, changes: ExclusionPreview) -> str:
    """Say what an exclusion, a reinstatement or the undoing of one changes."""
    leaving, returning = changes.labels_leaving, changes.labels_returning
    moved = ", ".join(
        [f"takes {_labels(leaving)} out"] * (leaving > 0)
        + [f"brings {_labels(returning)} back"] * (returning > 0)
    )
    lines = [
        f"{what} {moved or 'moves no label'}: {changes.weight_share:.1%} of the present weight",
        "  reward versions touched   " + (_versions(changes.reward_versions) or "none"),
    ]
    span = changes.policy_versions
    touched = "none" if span is None else f"{span[0]} to {span[1]}"
    lines.append(f"  policy versions touched   {touched}")
    if changes.forces_refit:
        lines.append("  the reward is refitted at once")
    return "\n".join(lines)


def _labels(count: int) -> str:
    return f"{count} label{'s' * (count != 1)}"


def _versions(versions: tuple[int, ...]) -> str:
    return ", ".join(map(str, versions))


def table_of(rows: tuple[Assessment, ...]) -> list[str]:
    """Return the labelers as a table of plain text."""
    from cluster.inert_text import inert

    head = ("labeler", "state", "labels", "held", "gold", "self", "peers", "weight", "flags")
    cells = [head]
    for row in rows:
        has_gold = row.gold_right + row.gold_wrong > 0
        cells.append(
            (
                inert(row.labeler_id),
                row.state,
                str(row.labels),
                str(row.labels_held),
                f"{row.gold_accuracy:.0%}" if has_gold else "-",
                _share(row.self_agreement),
                _share(row.peer_agreement),
                f"{row.weight_share:.0%}",
                ", ".join(_notes(row)) or "-",
            )
        )
    return in_columns(cells)


def ways_in(person: Person) -> list[tuple[str, ...]]:
    """Return a row for each that lets somebody in, or one that says that nothing does."""
    from cluster.inert_text import inert

    who = inert(person.labeler_id), person.role
    if not person.ways_in:
        return [(*who, "nothing", "-", "-", "-", _moment(person.last_used_at))]
    return [
        (
            *who,
            way.kind,
            way.token_id,
            _moment(way.made_at),
            inert(way.made_by) or "-",
            _moment(way.last_used_at),
        )
        for way in person.ways_in
    ]


def _moment(at: float | None) -> str:
    """Return a time in UTC; "-" where it is not known."""
    from datetime import UTC, datetime

    return "-" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"


def with_article(role: Role) -> str:
    """Return a role with its article, e.g. "an owner"."""
    return f"an {role}" if role[0] in "aeiou" else f"a {role}"


def _notes(row: Assessment) -> list[str]:
    """Return what an owner should know of somebody besides their figures."""
    late = [f"{row.late_changes} changed late"] if row.late_changes else []
    return [*row.flags, *["in doubt"] * row.is_doubted, *late]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
