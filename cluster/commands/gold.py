"""Gold: queries whose right answer is known, made, edited, retired and brought back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster.commands.shared import (
    chosen_run,
    in_columns,
    json_option,
    one_line_errors,
    reason_option,
    run_option,
)

if TYPE_CHECKING:
    from cluster.commands.owner_client import OwnerClient
    from label_queue.folds.shown import ShownPrompt
    from label_queue.oversight.gold_rows import Agreement, GoldRow

candidate_option = click.option(
    "--candidate", "candidates", multiple=True, help="A response; once for each, in their order."
)
MOST_CHARACTERS = 60
"""Characters of a prompt in a line of a list."""
SHOWN = {"asked": True, "retired": False, "all": None}


@click.group()
def gold() -> None:
    """See and decide which queries judge labelers, their right answer being known."""


@gold.command(name="list")
@click.option("--show", type=click.Choice(list(SHOWN)), default="asked", show_default=True)
@run_option
@json_option
@one_line_errors
def list_gold(show: str, run: Path | None, as_json: bool) -> None:
    """List the gold of a run, newest first, with how it is answered.

    Example: andon gold list --show all --run runs/demo-1
    """
    import json
    from dataclasses import asdict

    with _client(run) as client:
        rows = client.gold(SHOWN[show])
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    head = ("gold", "state", "shown", "right", "wrong", "made by", "prompt")
    for line in in_columns([head, *map(_cells, rows)]):
        click.echo(line)


@gold.command()
@run_option
@one_line_errors
def agreed(run: Path | None) -> None:
    """List past queries on which labelers agree, which gold could be made of.

    Those of the most labelers come first.

    Example: andon gold agreed --run runs/demo-1
    """
    with _client(run) as client:
        queries = client.agreements()
    head = ("query", "choice", "labelers", "prompt")
    for line in in_columns([head, *map(_agreed_cells, queries)]):
        click.echo(line)


@gold.command()
@click.argument("query")
@click.argument("choice")
@run_option
@one_line_errors
def make(query: str, choice: str, run: Path | None) -> None:
    """Ask a past QUERY as gold from now on; CHOICE is the id of its right candidate.

    Nobody who answered it is asked. `retire` undoes it.

    Example: andon gold make 0199c0de c-9f2e --run runs/demo-1
    """
    _tell(run, "is asked as gold from now on", lambda client: client.make_gold(query, choice))


@gold.command()
@click.option("--prompt", required=True, help="A text.")
@candidate_option
@click.option("--answer", type=click.IntRange(1, 26), required=True, help="Which is right, from 1.")
@click.option("--language", default="", help="Its tag, where the run's prompts say theirs.")
@run_option
@one_line_errors
def write(
    prompt: str, candidates: tuple[str, ...], answer: int, language: str, run: Path | None
) -> None:
    """Ask a query that is written here as gold from now on. `retire` undoes it.

    It has as many candidates as the run's queries have, and says its language where they do.

    Example: andon gold write --prompt "2 + 2 =" --candidate 4 --candidate 5 --answer 1
    """
    _tell(
        run,
        "is asked as gold from now on",
        lambda client: client.write_gold(
            prompt=prompt, candidates=candidates, answer=answer - 1, language=language
        ),
    )


@gold.command()
@click.argument("name")
@click.option("--answer", type=click.IntRange(1, 26), required=True, help="Which is right, from 1.")
@click.option("--prompt", help="Default: as it is.")
@candidate_option
@reason_option
@run_option
@one_line_errors
def edit(
    name: str,
    answer: int,
    prompt: str | None,
    candidates: tuple[str, ...],
    reason: str,
    run: Path | None,
) -> None:
    """Ask another version of the gold NAME from now on, and retire this one.

    `bring-back` of this one undoes it.

    Example: andon gold edit 8c1f --answer 2 --reason "the second is right"
    """
    _tell(
        run,
        f"is asked in the place of {name} from now on",
        lambda client: client.edit_gold(
            name, answer=answer - 1, prompt=prompt, candidates=candidates or None, reason=reason
        ),
    )


@gold.command()
@click.argument("name")
@reason_option
@run_option
@one_line_errors
def retire(name: str, reason: str, run: Path | None) -> None:
    """Ask the gold NAME of nobody from now on. `bring-back` undoes it.

    What was answered before goes on counting; answers that come later judge nobody.

    Example: andon gold retire 8c1f --reason "too easy"
    """
    _tell(run, "is retired", lambda client: client.retire_gold(name, reason))


@gold.command(name="bring-back")
@click.argument("name")
@reason_option
@run_option
@one_line_errors
def bring_back(name: str, reason: str, run: Path | None) -> None:
    """Ask the retired gold NAME again from now on; what took its place is retired.

    Example: andon gold bring-back 8c1f --reason "not so easy after all"
    """
    _tell(run, "is asked again", lambda client: client.bring_back_gold(name, reason))


def _client(run: Path | None) -> OwnerClient:
    from cluster.commands.owner_client import OwnerClient

    return OwnerClient.of_run(chosen_run(run))


def _tell(run: Path | None, what: str, act: Callable[[OwnerClient], GoldRow]) -> None:
    """Do something to gold, and say of which that is so."""
    with _client(run) as client:
        row = act(client)
    click.echo(f"{row.gold_id} {what}")


def _cells(row: GoldRow) -> tuple[str, ...]:
    from cluster.inert_text import inert

    return (
        row.gold_id,
        "asked" if row.is_asked else "retired",
        str(row.num_shown),
        str(row.right),
        str(row.wrong),
        inert(row.made_by or row.origin),
        _prompt(row.prompt),
    )


def _agreed_cells(query: Agreement) -> tuple[str, ...]:
    return query.query_id, query.choice, str(len(query.votes)), _prompt(query.prompt)


def _prompt(prompt: ShownPrompt) -> str:
    from cluster.inert_text import inert
    from protocol.chat import in_one_text

    shown = inert(in_one_text(prompt.text, prompt.messages))
    return shown if len(shown) <= MOST_CHARACTERS else shown[: MOST_CHARACTERS - 1] + "…"
