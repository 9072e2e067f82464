"""Browsers, servers and proxies that only tests need, from Debian's packages.

On a bare Python with the standard library alone, as `setup.py`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tools.installing import LOG, logged, run_quietly, say

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FIREFOXES = ("firefox-esr", "firefox")
APT_INSTALL = ("install", "--yes", "--no-install-recommends")
PROXIES = {"nginx": "nginx-light", "caddy": "caddy"}
"""Reverse proxies, each with Debian's package of it."""
SYSTEM_PROGRAMS = ("/usr/sbin", "/usr/local/sbin")
POSTGRES = Path("/usr/lib/postgresql")
"""Where Debian's packages put the server, by version."""
POSTGRES_CLUSTERS = Path("/etc/postgresql")


def set_up_programs() -> None:
    """Install each that is missing, where this user may; else say how to get it."""
    set_up_browser()
    set_up_firefox()
    set_up_proxies()
    set_up_postgres()
    set_up_redis()
    set_up_prometheus()


def find_browser() -> bool:
    """Return whether there is a Chromium on PATH."""
    return any(shutil.which(name) for name in BROWSERS)


def missing_proxies() -> list[str]:
    """Return the packages of the reverse proxies that are not here, nor on root's PATH."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_PROGRAMS))
    return [package for name, package in PROXIES.items() if not shutil.which(name, path=path)]


def apt_get(*arguments: str) -> bool:
    """Run apt-get, its output appended to the log, and return whether it succeeded."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    has_succeeded, _ = logged(["apt-get", *arguments], environment)
    return has_succeeded


def install_by_apt(what: str, tests: str, *packages: str) -> bool:
    """Install Debian packages where this user may; else say how to get them. Return whether it did.

    Args:
        what: They give, e.g. "Chromium".
        tests: That are skipped without it.
        packages: Their names.
    """
    names = " ".join(packages)
    if shutil.which("apt-get") is not None and os.geteuid() == 0:
        say(f"Installing {what} for {tests} (apt-get install {names}) ...")
        command = (*APT_INSTALL, *packages)
        # The package list may be old or empty: it is fetched anew only if the first try fails.
        if apt_get(*command) or (apt_get("update") and apt_get(*command)):
            return True
        say(f"apt-get could not install {what} (its output is in {LOG}).")
    say(
        f"Without {what} {tests} will be skipped; `apt-get install {names}` brings what is missing."
    )
    return False


def set_up_browser() -> None:
    """Install Chromium where it is missing and this user may; else say how to get it."""
    if not find_browser():
        install_by_apt("Chromium", "the tests of the pages", "chromium")


def set_up_firefox() -> None:
    """Install Firefox as `set_up_browser` does Chromium."""
    if not any(shutil.which(name) for name in FIREFOXES):
        install_by_apt("Firefox", "the tests of the pages in it", "firefox-esr")


def find_postgres() -> bool:
    """Return whether there is a PostgreSQL server, running or not."""
    return any(POSTGRES.glob("*/bin/initdb")) or shutil.which("initdb") is not None


def set_up_postgres() -> None:
    """Install PostgreSQL's server as `set_up_browser` does Chromium.

    The tests start servers of their own: the one that comes with the package is stopped.
    """
    if find_postgres():
        return
    if install_by_apt("PostgreSQL server", "the tests of the ledger on a server", "postgresql"):
        for cluster in POSTGRES_CLUSTERS.glob("*/*"):
            run_quietly(["pg_ctlcluster", cluster.parent.name, cluster.name, "stop"])


def set_up_redis() -> None:
    """Install Redis's server as `set_up_browser` does Chromium; the one it starts is stopped."""
    set_up_server("redis-server", "Redis server", "the tests of labels from Redis")


def set_up_prometheus() -> None:
    """Install Prometheus as `set_up_redis` does Redis's server."""
    set_up_server("prometheus", "Prometheus", "the test of the dashboard for Grafana")


def set_up_server(program: str, what: str, tests: str) -> None:
    """Install a server, whose package and service have its program's name, where it is missing."""
    if shutil.which(program) is None and install_by_apt(what, tests, program):
        stop_service(program)


def set_up_proxies() -> None:
    """Install nginx and Caddy as `set_up_browser` does Chromium, each where it is missing.

    The tests start their own: what the packages start, open to the network, is stopped.
    """
    packages = missing_proxies()
    if packages and install_by_apt(
        " and ".join(packages), "the tests of the public address", *packages
    ):
        for name, package in PROXIES.items():
            if package in packages:
                stop_service(name)


def stop_service(name: str) -> None:
    """Stop what a package that was just installed has started, if it has."""
    if shutil.which("service") is not None:
        run_quietly(["service", name, "stop"])
