"""What `run.json` says of a run, checked as it is read: anybody may have written to it since."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import InputError

State = Literal["starting", "running", "finished", "stopped", "failed"]
LARGEST_PID = 2**31 - 1


class _Part(BaseModel):
    """Strict, and open to what another version adds."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)


class Reason(_Part):
    """One for which it hangs."""

    actor: str
    reason: str
    guard: str | None = None
    evidence: str | None = None


class Cord(_Part):
    """How the cord hangs."""

    is_pulled: bool
    pulled_by: str
    reason: str
    reasons: list[Reason] = []
    """None in runs of before there was more than one."""


class RunState(_Part):
    """The keys that are read somewhere. A run adds them as it goes on."""

    state: State | None = None
    run_id: str | None = Field(default=None, min_length=1)
    mode: str | None = None
    seed: int | None = None
    pid: int | None = Field(default=None, ge=1, le=LARGEST_PID)
    """Process id of the run's own process, on `host`."""
    pid_started_at: float | None = None
    """When the process `pid` started, Unix seconds, as the clock was then."""
    pid_mark: str | None = None
    """What tells that process from all others, whatever becomes of the clock: see
    `cluster/process_start.py`. None in runs of before."""
    host: str | None = None
    url: str | None = None
    """Address of the labelling face on this machine, once it is up."""
    pages_url: str | None = None
    """Address at which people are told to find the pages."""
    reward_url: str | None = None
    """Address of the reward's face on this machine."""
    started_at: float | None = None
    """When the run started, Unix seconds."""
    ended_at: float | None = None
    """When it ended, Unix seconds, if it could say so."""
    resumed_at: list[float] | None = None
    """When it was resumed, Unix seconds, each time."""
    wall_s: float | None = None
    error: str | None = None
    stop_reason: str | None = None
    cord: Cord | None = None
    disk: str | None = None
    """What people must do because the disk is full; "" where it no longer is."""
    versions: dict[str, str] | None = None
    base_model_s: float | None = None
    policy_path: str | None = None
    """ρ's folder, as the run found or made it."""
    revisions: dict[str, str] | None = None
    """The commit of what came from the hub, by section of the config, e.g. {"policy": "a1b2…"}."""
    connectors: list[dict[str, Any]] | None = None
    """The outside tools that the run ever had, as its configs have named them, once it was resumed;
    see `cluster.starting.former_connectors`."""
    peak_memory_bytes: int | None = None
    labels_acknowledged: int | None = None
    final_policy_version: int | None = Field(default=None, ge=0)
    """The policy version in `policy/final`."""


def parse_state(path: Path, text: str | bytes) -> dict[str, Any]:
    """Return the content of `run.json`.

    Raises:
        InputError: It is cut off, no JSON object, or a key is not what it must be; names the key.
    """
    try:
        return RunState.model_validate_json(text).model_dump(exclude_unset=True)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise garbled(path, f"{key}: {problem['msg']}" if key else problem["msg"]) from error


def refuse_lack(path: Path, state: Mapping[str, Any], *keys: str) -> None:
    """Raise InputError unless all of some keys are there; names the first that is not."""
    for key in keys:
        if state.get(key) is None:
            raise garbled(path, f"{key} is missing")


def garbled(path: Path, problem: str) -> InputError:
    """Return the error of a `run.json` of which something is not as a run writes it."""
    return InputError(
        f"{path} is not as a run writes it ({problem}): put it back, or name another run's folder"
    )
