"""A run's artifacts, given to wandb with their lineage.

What wandb draws goes through runs: a run uses artifacts and logs others. The run that has the rows
logs none of these. If it did, all that it used would be behind all that it logged, and the graph
would say of every policy that every label made it. So each artifact has a short run of its own,
with no rows, beside that run in its group: "fit" makes a reward version, "train" a checkpoint,
"save" the last policy. A ledger snapshot is made by people, and by no run.

Offline, `run.use_artifact` is refused. What it does online is to log the artifact once more, marked
as an input: the server finds the version that has this digest, and adds the line. wandb writes that
down offline too, one layer below, and that layer is spoken to here, in both modes alike. It asks
that an artifact was logged before it is used: these runs are given, and synced, in order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import wandb
from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry

from cluster.metrics.lineage_folder import Artifact, Given, Kind, LineageFolder
from cluster.metrics.wandb_logs import make_whole
from cluster.metrics.wandb_sink import FAILURES, quiet_settings, said
from protocol.errors import ResourceError
from protocol.logs import logger_of

LOGGED_TIMEOUT_S = 120.0
"""For the server to take one artifact, whose files are small: what is large is not sent."""
REFUSALS = (*FAILURES, ValueError)
"""What wandb raises where it takes an artifact, or its own settings, for no good."""
OF_A_SWEEP = ("WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_RUN_ID")
"""By these a sweep gives all runs of a process its own id and settings."""
TYPES: Mapping[Kind, str] = {
    "ledger": "ledger-snapshot",
    "reward": "reward-version",
    "checkpoint": "policy-checkpoint",
    "policy": "policy",
}
JOBS: Mapping[Kind, str] = {"reward": "fit", "checkpoint": "train", "policy": "save"}
"""Job types of the runs that make artifacts, by what they make."""

_log = logger_of("metrics")


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageRun:
    """The run in wandb beside which its artifacts are made."""

    wandb_id: str
    """Its id there; names of artifacts begin with it."""
    name: str
    group: str
    project: str
    mode: Literal["offline", "online"]


def give_lineage(lineage: LineageFolder, run: LineageRun) -> int:
    """Give wandb what it has not of a run's artifacts; return how many. Blocks until it has them.

    Those that were given are noted, and not given again. A process that is killed before it has
    noted them gives them once more under the same names, and wandb sees that it has them.

    Args:
        lineage: What is described.
        run: Whose it is.

    Raises:
        ResourceError: wandb cannot start or be reached, or the disk refuses; what was given until
            then is noted.
    """
    given = lineage.given()
    run_id = given.wandb_id or run.wandb_id
    made = [each for each in lineage.artifacts if each.kind in JOBS]
    missing = [each for each in made if each.name not in given.names]
    if not missing:
        return 0
    taken: list[str] = []
    try:
        with _outside_a_sweep() as project:
            make_whole(lineage.path / "wandb")
            for artifact in missing:
                _Giver(lineage, run, run_id, project or run.project).give(artifact)
                taken.append(artifact.name)
    except REFUSALS as failure:
        raise ResourceError(
            f"wandb has {len(taken)} of {len(missing)} artifacts that it lacked "
            f"({said(failure)}); `andon report RUN --wandb` gives it the others"
        ) from failure
    finally:
        if taken:
            lineage.note(Given(wandb_id=run_id, names=(*given.names, *taken)))
    return len(taken)


class _Giver:
    """Makes the short runs of one run.

    Args:
        lineage: What is described.
        run: Whose it is.
        run_id: The id under which its first artifacts were given.
        project: Where they go.
    """

    def __init__(self, lineage: LineageFolder, run: LineageRun, run_id: str, project: str) -> None:
        self._lineage = lineage
        self._run = run
        self._run_id = run_id
        self._project = project

    def give(self, artifact: Artifact) -> None:
        """Log an artifact, and all that it uses as its inputs, in a run of its own."""
        with wandb.init(
            dir=self._lineage.path,
            project=self._project,
            # They are synced one by one in the order of their logs' names, which begin with the
            # second in which a run was begun; this goes on from there.
            id=f"{self._run_id}-{artifact.place:06d}-{artifact.name}",
            name=f"{self._run.name} {artifact.name}",
            group=self._run.group,
            job_type=JOBS[artifact.kind],
            mode=self._run.mode,
            resume="allow",
            config={"made_by": self._run_id, "makes": artifact.name, "uses": list(artifact.uses)},
            settings=quiet_settings(),
            force=True,
        ) as short:
            for name in artifact.uses:
                self._say(short, self._lineage[name], is_input=True)
            self._say(short, artifact, is_input=False)

    def _say(self, short: wandb.Run, artifact: Artifact, *, is_input: bool) -> None:
        """Log an artifact as an output of a short run, or as an input, which is no output of it."""
        made = self._made(artifact)
        made.finalize()
        # Of what is used "latest" would move back to it.
        is_first = artifact.kind == "ledger" or not is_input
        aliases = [*_aliases(artifact), "latest"] if is_first else []
        how = {"is_user_created": is_input, "use_after_commit": is_input}
        if self._run.mode == "offline":
            short._interface.publish_artifact(short, made, aliases, **how)
            return
        answer = short._interface.deliver_artifact(short, made, aliases, **how)
        response = answer.wait_or(timeout=LOGGED_TIMEOUT_S).response.log_artifact_response
        if response.error_message:
            raise wandb.errors.CommError(response.error_message)

    def _made(self, artifact: Artifact) -> wandb.Artifact:
        """Return an artifact as wandb has it: small files by their content, large ones by name."""
        made = wandb.Artifact(
            f"{self._run_id}-{artifact.kind}",
            type=TYPES[artifact.kind],
            metadata=dict(artifact.facts),
        )
        # Not copied aside: what was given stays as it is.
        described = self._lineage.file(artifact.name).resolve()
        made.add_file(str(described), f"{artifact.kind}.json", policy="immutable", skip_cache=True)
        for texts in artifact.texts:
            file = self._lineage.texts_file(texts).resolve()
            made.add_file(str(file), texts.path, policy="immutable", skip_cache=True)
        for each in artifact.references:
            # Not by `add_reference`, which reads files or leaves out their digests.
            made.manifest.add_entry(
                ArtifactManifestEntry(
                    path=each.path, ref=each.url, digest=each.md5 or each.sha256, size=each.size
                )
            )
        return made


def _aliases(artifact: Artifact) -> list[str]:
    """Return the aliases of an artifact; wandb keeps "v3" for its own count of versions."""
    if artifact.kind == "ledger":
        return [f"seq-{artifact.number}"]
    named = [f"version-{artifact.number}"]
    return [*named, "final"] if artifact.kind == "policy" else named


@contextmanager
def _outside_a_sweep() -> Iterator[str | None]:
    """Begin and end wandb as if no sweep had started this process; give the sweep's project."""
    taken = {name: os.environ.pop(name) for name in OF_A_SWEEP if name in os.environ}
    try:
        wandb.teardown()  # it reads the environment once
        yield os.environ.get("WANDB_PROJECT") if "WANDB_SWEEP_ID" in taken else None
    finally:
        os.environ.update(taken)
        wandb.teardown()
