"""A plan as people read it in a terminal, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from io import StringIO
from itertools import pairwise

from rich import box
from rich.console import Console
from rich.table import Table

from cluster.planning.changes import Advice, Proposal
from cluster.planning.machine import Machine
from cluster.planning.needs import GIB, KINDS, Kind, Process, in_gib
from cluster.planning.plan import Plan

WIDTH = 100
"""Columns of a line at most."""
HEADINGS: dict[Kind, str] = {
    "weights": "weights",
    "optimizer": "optim.",
    "gradients": "grads",
    "activations": "activ.",
    "kv_cache": "KV",
    "copies": "copies",
    "library": "CUDA",
}


@dataclass(frozen=True, slots=True)
class _Row:
    """Processes of one part that take the same, on the devices they lie on."""

    processes: tuple[Process, ...]
    devices: tuple[int, ...]


def as_text(plan: Plan, advice: Advice) -> str:
    """Return a plan as lines of at most 100 columns, sizes in GiB."""
    out = StringIO()
    console = Console(file=out, width=WIDTH, color_system=None, highlight=False, emoji=False)
    console.print(_words_of(plan), markup=False)
    for table in (_models(plan), _hosts(plan), _disk(plan)):
        console.print(table)
    for line in (*_devices(plan), *_verdict(plan, advice)):
        console.print(line, markup=False)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    # A table ends with a blank line of its own and one of the console's.
    return "\n".join(line for line, after in pairwise((*lines, "end")) if line or after) + "\n"


def as_json(plan: Plan, advice: Advice) -> str:
    """Return a plan as JSON, sizes in bytes."""
    told = {
        "fits": plan.fits,
        "machine": asdict(plan.machine),
        "weights": plan.weights,
        "adapters": plan.adapters,
        "prompt_tokens": plan.prompt_tokens,
        "processes": [
            {
                "name": each.name,
                "gpus": each.gpus,
                "devices": [d.index for d in plan.devices if each in d.processes],
                "model": dict(each.model),
                "host": each.of_host,
            }
            for each in plan.processes
        ],
        "devices": [
            {
                "index": each.index,
                "used": each.used,
                "turns": {side: each.used_in(side) for side in each.sides},
                "has": plan.machine.gpu_bytes,
            }
            for each in plan.devices
        ],
        "host": plan.host_bytes,
        "disk": [asdict(each) for each in plan.disk],
        "problems": [asdict(each) for each in plan.problems],
        "change": [dict(each) for each in advice.changes],
        "change_suffices": advice.suffices,
    }
    return json.dumps(told, indent=2)


def change_words(proposal: Proposal) -> str:
    """Return one proposal as options of a command line."""
    return " ".join(f"--set {key}={_value(value)}" for key, value in proposal.items())


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _words_of(plan: Plan) -> str:
    machine = plan.machine
    where = "this machine" if machine.is_here else "a machine"
    gpus = f"with {_gpus(machine, len(plan.devices))}" if plan.devices or machine.num_gpus else ""
    counted = f"{_millions(plan.weights)} weights"
    if plan.adapters:
        counted += f" and adapters of {_millions(plan.adapters)}"
    place = f"{where} {gpus}".rstrip()
    return f"{counted}, prompts of up to {plan.prompt_tokens} tokens; {place}. Sizes in GiB."


def _millions(count: int) -> str:
    return f"{count / 1e6:,.{1 if count < 1e7 else 0}f} M"


def _gpus(machine: Machine, num_used: int) -> str:
    count = num_used if machine.num_gpus is None else machine.num_gpus
    return f"{count} GPU{'' if count == 1 else 's'} of {in_gib(machine.gpu_bytes)}"


def _models(plan: Plan) -> Table:
    table = _table("where it computes")
    table.add_column("on", no_wrap=True)
    for kind in KINDS:
        table.add_column(HEADINGS[kind], justify="right")
    table.add_column("all", justify="right")
    for row in _rows(plan):
        first = row.processes[0]
        sizes = [in_gib(first.model[kind]) if first.model.get(kind) else "–" for kind in KINDS]
        table.add_row(_names(row), _on(row), *sizes, in_gib(first.on_device))
    return table


def _hosts(plan: Plan) -> Table:
    table = _table("on the host")
    table.add_column("memory", justify="right")
    table.add_column("shared", justify="right")
    for row in (*_rows(plan), *(_Row((each,), ()) for each in plan.processes if not each.model)):
        first = row.processes[0]
        shared = in_gib(first.shared) if first.shared else "–"
        table.add_row(_names(row), in_gib(first.of_host - first.shared), shared)
    has = "" if plan.machine.host_bytes is None else f" of {in_gib(plan.machine.host_bytes)}"
    table.add_row("all", f"{in_gib(plan.host_bytes)}{has}", "")
    return table


def _rows(plan: Plan) -> list[_Row]:
    rows: list[_Row] = []
    for process in plan.processes:
        if not process.model:
            continue
        devices = tuple(each.index for each in plan.devices if process in each.processes)
        last = rows[-1] if rows else None
        if last is not None and _is_alike(last.processes[0], process):
            rows[-1] = _Row((*last.processes, process), (*last.devices, *devices))
        else:
            rows.append(_Row((process,), devices))
    return rows


def _is_alike(one: Process, other: Process) -> bool:
    return (one.part, one.model, one.host, one.shared) == (
        other.part,
        other.model,
        other.host,
        other.shared,
    )


def _names(row: _Row) -> str:
    first, last = row.processes[0].name, row.processes[-1].name
    return first if first == last else f"{first}–{last.split()[-1]}"


def _on(row: _Row) -> str:
    if not row.devices:
        return "nowhere" if row.processes[0].gpus else "host"
    found = sorted(set(row.devices))
    is_run = found == list(range(found[0], found[-1] + 1)) and len(found) > 2
    return f"{found[0]}–{found[-1]}" if is_run else ",".join(map(str, found))


def _devices(plan: Plan) -> Iterator[str]:
    has = plan.machine.gpu_bytes
    for each in plan.devices:
        verdict = "fits" if each.used <= has else "DOES NOT FIT"
        names = ", ".join(process.name for process in each.processes) or "free"
        turns = ", ".join(
            f"{in_gib(each.used_in(side))} in the turn of the {side}" for side in each.sides
        )
        used = f"{in_gib(each.used)} of {in_gib(has)}" + (f" ({turns})" if turns else "")
        yield f"GPU {each.index}: {used}, {verdict}: {names}"


def _disk(plan: Plan) -> Table:
    table = _table("on the disk")
    table.add_column("size", justify="right")
    table.add_column("bounded by")
    for each in plan.disk:
        if each.num_bytes >= GIB / 20:
            table.add_row(each.name, in_gib(each.num_bytes), each.field)
    has = plan.machine.disk_bytes
    free = "" if has is None else f" of {in_gib(has)} free"
    table.add_row("all", in_gib(sum(each.num_bytes for each in plan.disk)) + free, "")
    return table


def _table(first: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column(first, no_wrap=True)
    return table


def _verdict(plan: Plan, advice: Advice) -> Iterator[str]:
    if plan.fits:
        yield "fits"
        return
    yield "DOES NOT FIT"
    yield from (f"- {each.text}" for each in plan.problems)
    if advice.changes:
        yield "to change" if advice.suffices else "to change, though it does not suffice"
        yield from (f"  {change_words(each)}" for each in advice.changes)
    if not advice.suffices:
        yield "take larger or more devices, or a smaller model"
