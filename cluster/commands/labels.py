"""Labels themselves: where they went, and taking them out of a run or into one."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cluster.commands.shared import STORED, json_option, one_line_errors, run_argument

if TYPE_CHECKING:
    from label_queue.ledger_place import LedgerPlace
    from label_queue.oversight.trace import LabelerTrace, LabelTrace, PolicyTrace
    from protocol.text_tree import TextNode


@click.command()
@run_argument
@click.option("--label", "label", metavar="ID_OR_SEQ", help="Trace one label.")
@click.option("--policy", type=STORED, help="Trace a policy version back.")
@click.option("--labeler", metavar="NAME", help="Trace all labels of one labeler.")
@json_option
@one_line_errors
def trace(
    run: Path, label: str | None, policy: int | None, labeler: str | None, as_json: bool
) -> None:
    """Say which reward and policy versions a label touched, or who is behind a policy version.

    Works on runs that go on and on those that have ended.

    Example: andon trace runs/demo-1 --policy 31
    """
    from cluster.config_file import load_config
    from cluster.run_folder import RunFolder
    from label_queue.oversight.trace import read_trace
    from protocol.errors import InputError
    from protocol.limits import LARGEST_STORED

    if sum(given is not None for given in (label, policy, labeler)) != 1:
        raise InputError("name one of --label, --policy and --labeler")
    folder = RunFolder.existing(run)
    labels = load_config(folder.config).labels
    ledger = read_trace(labels.ledger_place(folder.ledger), labels.quality)
    found: LabelTrace | PolicyTrace | LabelerTrace
    if label is not None:
        is_seq = label.isdecimal() and len(label) <= len(str(LARGEST_STORED))
        found = ledger.of_event(int(label)) if is_seq else ledger.of_label(label)
    elif policy is not None:
        found = ledger.of_policy(policy)
    else:
        assert labeler is not None, "one of the three was given"
        found = ledger.of_labeler(labeler)
    click.echo(json.dumps(_as_written(found), indent=2) if as_json else _in_words(found))


@click.command()
@run_argument
@click.option("--format", "form", type=click.Choice(["trl", "andon"]), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file to write.")
@click.option(
    "--style",
    type=click.Choice(["conversational", "standard"]),
    help="Of trl: the chats alone, or the plain prompts alone; needed where a run has both.",
)
@click.option("--all", "keep_all", is_flag=True, help="Of trl: labels excluded and held, too.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@one_line_errors
def export(
    run: Path,
    form: Literal["trl", "andon"],
    out: Path,
    style: Literal["conversational", "standard"] | None,
    keep_all: bool,
    force: bool,
) -> None:
    """Write the labels of RUN to a JSON Lines file, while it goes on or after.

    "trl" is TRL's preference form, which its trainers read; "andon" is the full record, which
    `andon import` takes back without loss.

    Example: andon export runs/demo-1 --format trl --out preferences.jsonl
    """
    from cluster.config_file import load_config
    from cluster.run_folder import RunFolder
    from label_queue.exchange.export import export_run

    folder = RunFolder.existing(run)
    labels = load_config(folder.config).labels
    count = export_run(
        labels.ledger_place(folder.ledger),
        out,
        form,
        quality=labels.quality,
        style=style,
        keep_all=keep_all,
        force=force,
    )
    click.echo(f"{out}: {count} lines")


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@run_argument
@click.option(
    "--model",
    help="The policy, a folder or hub id, whose tokenizer reads preferences; of the full record it "
    "proves that texts fit the model, and that marks lie on the words that labelers saw.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="The run's TOML file: preferences end as its responses will, and its policy reads them.",
)
@click.option(
    "--ledger",
    metavar="URL",
    help="The database to import into, as the run's labels.ledger_url names it. Default: that of "
    "--config, or RUN/ledger.sqlite.",
)
@one_line_errors
def import_labels(
    file: Path, run: Path, model: str | None, config_file: Path | None, ledger: str | None
) -> None:
    """Make the ledger of a new folder RUN from an exported FILE: the full record, or preferences.

    `andon run CONFIG.toml --folder RUN` goes on with it. The full record belongs to the run that
    wrote it, so there RUN must have that run's name.

    Without --config, the responses of chats are ended with the model's end token, and plain texts
    are left as they are.

    Example: andon import preferences.jsonl runs/mine-1 --config mine.toml
    """
    from cluster.config_file import load_config
    from cluster.run_folder import RunFolder
    from cluster.starting.import_reading import preference_reading
    from label_queue.exchange.imports import import_file
    from label_queue.ledger_place import url_of
    from protocol.errors import ConfigError, UserError
    from protocol.files import is_there, reading, writing

    folder = RunFolder(run)
    with reading(run, "run", "name a new folder"):
        holds_run = folder.state.exists()
    if holds_run:
        raise ConfigError(f"{run} already holds a run: name a new folder")
    place: LedgerPlace = folder.ledger
    if ledger is not None:
        place = url_of(ledger, "--ledger")
    elif config_file is not None:
        place = load_config(config_file).labels.ledger_place(folder.ledger)
    given = preference_reading(model, config_file)
    run_id = folder.run_id
    is_new = not is_there(run, "run", "name a new folder")
    with writing(run, "name another folder"):
        run.mkdir(parents=True, exist_ok=True)
    try:
        written = import_file(
            file,
            place,
            at_time=time.time(),
            run_id=run_id,
            tokenizer=None if given is None else given.tokenizer,
            ends=None if given is None else given.ends,
            model=None if given is None else given.model,
        )
    except UserError:
        if is_new:
            with suppress(OSError):  # something is in it after all
                run.rmdir()
        raise
    click.echo(f"{place}: {written.num_events} labels on {written.num_queries} queries")
    if written.num_endless:
        click.echo(
            f"{written.num_endless} responses hold no cut token where the run's are cut, and are "
            "kept whole: the reward learns from ends that no rollout has"
        )


def _as_written(found: LabelTrace | PolicyTrace | LabelerTrace) -> dict[str, Any]:
    """Return a trace for JSON, the revisions of a label as the ledger and exports write them."""
    from label_queue.ledger.event_lines import label_line
    from label_queue.oversight.trace import LabelTrace

    written = asdict(found)
    if isinstance(found, LabelTrace):
        written["revisions"] = [asdict(label_line(event)) for event in found.revisions]
    return written


def _in_words(found: LabelTrace | PolicyTrace | LabelerTrace) -> str:
    from cluster.inert_text import inert
    from label_queue.ledger.event_lines import label_line
    from label_queue.oversight.trace import LabelTrace, PolicyTrace

    if isinstance(found, PolicyTrace):
        lines = [
            f"policy version {found.policy.version}, {found.policy.episodes} episodes",
            f"  made from         {_spans(found.line[1:])}",
            f"  reward versions   {_spans(found.reward_versions)}",
            f"  labels            {len(found.label_ids)}",
        ]
        parts = [f"  {inert(part.labeler_id):<17} {part.num_labels}" for part in found.labelers]
        return "\n".join([*lines, *parts])
    touched = [
        f"  reward versions   {_spans(found.reward_versions)}",
        f"  policy versions   {_spans(found.policy_versions)}",
    ]
    if isinstance(found, LabelTrace):
        head = [
            f"label {inert(found.label_id)} by {inert(found.labeler_id)}",
            *(
                f"  seq {line.seq:<13} {line.type} {line.outcome or ''}".rstrip()
                for line in map(label_line, found.revisions)
            ),
            *([] if found.node is None else [f"  of                {inert(_place(found.node))}"]),
            f"  written by        policy versions {_spans(found.candidate_versions)}",
        ]
    else:
        head = [
            f"labeler {inert(found.labeler_id)}: {found.num_labels} labels, {found.num_learned} "
            f"learned (seq {found.first_seq} to {found.last_seq})"
        ]
    return "\n".join([*head, *touched])


def _place(node: TextNode) -> str:
    return f"{node.document_id}, node {node.node_id}, height {node.height}"


def _spans(versions: tuple[int, ...]) -> str:
    """Return versions as spans, e.g. "1-4, 7"; "none" of none."""
    spans: list[list[int]] = []
    for version in sorted(set(versions)):
        if spans and version == spans[-1][1] + 1:
            spans[-1][1] = version
        else:
            spans.append([version, version])
    return ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in spans) or "none"
