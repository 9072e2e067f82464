"""Other processes as tests look at them: any may end between being found and being asked."""

from __future__ import annotations

import psutil


def name_of(process: psutil.Process) -> str:
    """Return its name, of which the system may keep fifteen characters; "" once it is gone."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def line_of(process: psutil.Process) -> str:
    """Return its command line, or the title it gave itself; "" once it has ended."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that has ended, and that nobody has asked after yet, does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def own_processes(sign: str) -> list[psutil.Process]:
    """Return the running descendants of the tests whose command line holds a sign."""
    found = psutil.Process().children(recursive=True)
    return [each for each in found if sign in line_of(each) and is_alive(each)]
