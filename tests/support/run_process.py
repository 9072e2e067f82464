"""`andon run` as a person starts it: in a process of its own, with their own model and prompts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from cluster.run_folder import RunFolder
from tests.support.patience import PATIENCE_S
from tests.support.processes import is_alive, line_of, name_of
from tests.support.tiny_model import save_tiny_model

REPOSITORY = Path(__file__).parents[2]
REVIEWS = REPOSITORY / "examples" / "reviews.toml"
POLL_S = 0.1

TINY = (
    "run.episodes=64",
    "response.cut_after=2",
    "rollouts.requests_per_call=8",
    "rollouts.max_num_seqs=32",
    "rollouts.kv_cache_gib=0.0625",
    "ppo.batch_size=16",
    "reward_model.num_normalisation_samples=16",
    "labels.total=16",
    "labels.initial=6",
    "labels.ahead=2",
    "labels.refits=2",
    "labels.warm.every_labels=4",
    "cluster.http_port=0",
    "cluster.object_store_gib=0.1",
)
"""Overrides that make a run of `examples/reviews.toml` end a few seconds after it has started."""

CUT_LOGIT = 2.5
"""Added to the cut token's logit, so that nearly every response of the random model ends."""

CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"


def save_chat_model(folder: Path) -> Path:
    """Write the tiny model, fond of the cut token, with a tokenizer that takes chat messages."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    save_tiny_model(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        towards_cut = model.transformer.wte.weight[tokenizer.convert_tokens_to_ids(".")]
        model.transformer.ln_f.bias += CUT_LOGIT * towards_cut / towards_cut.square().sum()
    model.save_pretrained(folder)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def save_prompts(path: Path) -> Path:
    """Write prompts of both kinds: texts and chat messages."""
    texts = ["the soup was", "our room felt", "my tea tasted so", "the staff were not"]
    chats = [[{"role": "user", "content": f"we said the {noun}"}] for noun in ("fish", "view")]
    lines = [json.dumps({"prompt": prompt}) for prompt in (*texts, *chats)]
    path.write_text("\n".join(lines) + "\n")
    return path


def save_inputs(folder: Path) -> Path:
    """Write what a person brings to a run: `policy/` and `prompts.jsonl`; return the folder."""
    save_chat_model(folder / "policy")
    save_prompts(folder / "prompts.jsonl")
    return folder


def andon(*arguments: str) -> list[str]:
    """Return the command line of `andon ARGUMENTS`."""
    return [sys.executable, "-m", "cluster.cli", *arguments]


def set_options(settings: Iterable[str]) -> list[str]:
    """Return the options that set keys of a config."""
    return [part for setting in settings for part in ("--set", setting)]


def run_arguments(inputs: Path, folder: Path, settings: Iterable[str] = ()) -> list[str]:
    """Return the arguments of a tiny run on `inputs/policy` and `inputs/prompts.jsonl`."""
    chosen = (
        f"policy.path={inputs / 'policy'}",
        f"prompts.path={inputs / 'prompts.jsonl'}",
        *TINY,
        *settings,
    )
    return ["run", str(REVIEWS), "--folder", str(folder), *set_options(chosen)]


def shared_memory(run: RunProcess) -> list[Path]:
    """Return the folders a run has in shared memory, where its weights are."""
    return list(Path("/dev/shm").glob(f"andon-*-{run.process.pid}-*"))


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    """Poll until the condition holds; AssertionError naming `what` if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(POLL_S)


class RunProcess:
    """A started run, and everything it starts.

    Args:
        inputs: Holds `policy` and `prompts.jsonl`.
        folder: The run's.
        settings: More `--set` overrides.
        environment: More environment variables.
    """

    def __init__(
        self,
        inputs: Path,
        folder: Path,
        settings: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._begin(folder, andon(*run_arguments(inputs, folder, settings)), environment)

    @classmethod
    def resumed(cls, folder: Path, *options: str) -> RunProcess:
        """Start `andon resume` of a run in a folder."""
        return cls.started(folder, ["resume", str(folder), *options])

    @classmethod
    def started(
        cls, folder: Path, arguments: Iterable[str], environment: Mapping[str, str] | None = None
    ) -> RunProcess:
        """Start `andon ARGUMENTS`, whose folder it is, beside that folder."""
        return cls.within(folder, andon(*arguments), environment)

    @classmethod
    def within(
        cls, folder: Path, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> RunProcess:
        """Start a whole command line that ends in `andon ARGUMENTS`, e.g. of `unshare`."""
        run = cls.__new__(cls)
        run._begin(folder, command, environment)
        return run

    def _begin(
        self, folder: Path, command: Sequence[str], environment: Mapping[str, str] | None
    ) -> None:
        self.folder = RunFolder(folder)
        self._stdout = folder.with_name(f"{folder.name}.stdout")
        self._stderr = folder.with_name(f"{folder.name}.stderr")
        self._seen: set[psutil.Process] = set()
        before = set(psutil.pids())
        with self._stdout.open("w") as stdout, self._stderr.open("w") as stderr:
            self.process = psutil.Popen(
                command,
                cwd=folder.parent,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                # A group of its own, as a terminal gives it: a test may signal all of it.
                process_group=0,
            )
        self._looked_at = {*before, self.process.pid}

    @property
    def state(self) -> dict[str, Any]:
        """`run.json`; empty before it is there."""
        return self.folder.read_state() if self.folder.state.exists() else {}

    @property
    def output(self) -> str:
        """What it wrote so far, for the messages of failed tests."""
        return f"{self.answer}\n--- stderr\n{self.error_output}"

    @property
    def answer(self) -> str:
        """What it wrote to standard output so far."""
        return self._stdout.read_text()

    @property
    def error_output(self) -> str:
        """What it wrote to standard error so far."""
        return self._stderr.read_text()

    def descendants(self) -> set[psutil.Process]:
        """Return every process of the run but the first, also those seen before that still run."""
        self._look()
        return {process for process in self._seen if is_alive(process)}

    def _look(self) -> None:
        """See which processes have come, and of each, once, whose child it is.

        It is done ten times a second, and to look at all of them again would take a good part of a
        core from the run.
        """
        there = set(psutil.pids())
        come = {pid: _parent(pid) for pid in there - self._looked_at}
        family = {self.process.pid, *(each.pid for each in self._seen)} & self._looked_at & there
        while born := {pid for pid, parent in come.items() if parent in family}:
            family |= born
            for pid in born:
                del come[pid]
                with suppress(psutil.NoSuchProcess):
                    self._seen.add(psutil.Process(pid))
        self._looked_at = there

    def named(self, start: str) -> list[psutil.Process]:
        """Return the run's processes whose title starts so; the kernel keeps 15 characters of it.

        Processes that are only just coming up have another.
        """
        return [each for each in self.descendants() if name_of(each).startswith(start[:15])]

    def engines(self) -> list[psutil.Process]:
        """Return the engines' processes: what the rollout actors have spawned.

        vLLM gives them a title of their own, and now and then the title does not stick.
        """
        found = []
        for actor in self.named("ray::RolloutActorShell"):
            with suppress(psutil.NoSuchProcess):
                found += [each for each in actor.children() if _is_engine(each)]
        return found

    def wait_for(
        self, condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S
    ) -> None:
        """Poll until the condition holds while the run goes on."""

        def holds() -> bool:
            self._look()
            assert self.process.poll() is None, f"ended before {what}"
            return condition()

        try:
            wait_until(holds, what, timeout_s)
        except AssertionError as error:
            there = sorted(f"{name_of(each)} ({each.pid})" for each in self.descendants())
            raise AssertionError(f"{error}\n{self.output}\n--- {', '.join(there)}") from None

    def wait_for_state(self, state: str) -> None:
        """Poll until `run.json` names the state."""
        self.wait_for(lambda: self.state.get("state") == state, f"state {state}")

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for the run's end and return its exit code, watching what it starts meanwhile."""

        def has_ended() -> bool:
            self._look()
            return self.process.poll() is not None

        wait_until(has_ended, f"the run's end:\n{self.output}", timeout_s)
        return int(self.process.returncode)

    def wait_for_silence(self, timeout_s: float, but: Collection[str] = ()) -> None:
        """Wait until no process of the run is left, or only those of the given names."""

        def left() -> list[str]:
            return sorted(name for name in map(name_of, self.descendants()) if name not in but)

        try:
            wait_until(lambda: not left(), "the end of all processes", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; left: {left()}") from None

    def signal_group(self, number: int) -> None:
        """Send a signal to the run's process group, as a terminal, `timeout` and systemd do."""
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End whatever is left; for the end of a test, however it went."""
        left = self.descendants()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for process in left:
            if is_alive(process):
                process.kill()


def ended_well(folder: Path, *arguments: str, settings: Iterable[str] = ()) -> str:
    """Run `andon ARGUMENTS` beside a folder to its good end; return what it wrote to its output."""
    run = RunProcess.started(folder, [*arguments, *set_options(settings)])
    try:
        assert run.wait() == 0, run.output
    finally:
        run.kill()
    assert run.error_output == ""
    return run.answer


def _parent(pid: int) -> int:
    try:
        return int(psutil.Process(pid).ppid())
    except psutil.NoSuchProcess:
        return 0


def _is_engine(process: psutil.Process) -> bool:
    line = line_of(process)
    return "VLLM::EngineCore" in line or "multiprocessing.spawn" in line
