"""What wandb's server does with artifacts, as wandb 0.31.0 asks it: keeps them, and who made what.

Recorded from `wandb sync` of a log with artifacts: CreateArtifact; where that says PENDING,
CreateArtifactManifest, CreateArtifactFiles and a PUT for each file with content,
CreateArtifactManifest once more and a PUT of the manifest, CommitArtifact; and for an input
UseArtifact. An artifact of a digest that its collection has is that one, whoever made it; a run
that logs it a second time has not made it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.support.recorded_tool import RecordedTool


@dataclass
class StoredArtifact:
    """What the server has of an artifact."""

    collection: str
    kind: str
    digest: str
    made_by: str | None
    """The run that logged it first; None if it came as an input."""
    metadata: dict[str, Any]
    aliases: set[str]
    used_by: set[str] = field(default_factory=set)
    files: dict[str, Any] = field(default_factory=dict)
    """Content of those that were sent, by their places in it."""
    manifest: dict[str, Any] = field(default_factory=dict)
    is_committed: bool = False


class RecordedArtifacts(RecordedTool):
    """Takes artifacts, and keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.artifacts: list[dict[str, Any]] = []
        """What was asked to be made, each time."""
        self.stored: dict[str, StoredArtifact] = {}
        """By id."""

    def take_file(self, path: str, content: Any) -> None:
        """Take an upload to `/artifacts/ID/PLACE`, or of the manifest to `/artifacts/ID`."""
        _, _, artifact_id, *place = path.split("/", 3)
        artifact = self.stored[artifact_id]
        if place:
            artifact.files[place[0]] = content
        else:
            artifact.manifest = content

    def _CreateArtifact(self, given: dict[str, Any]) -> dict[str, Any]:
        """Take an artifact, or say that it is there. Of a table the files are not asked for."""
        asked = given["input"]
        self.artifacts.append(asked)
        collection, digest = asked["artifactCollectionName"], asked["digest"]
        same = [
            key
            for key, each in self.stored.items()
            if (each.collection, each.digest) == (collection, digest)
        ]
        key = same[0] if same else f"A{len(self.stored)}"
        artifact = self.stored.setdefault(
            key,
            StoredArtifact(
                collection=collection,
                kind=asked["artifactTypeName"],
                digest=digest,
                made_by=asked["runName"],
                metadata=json.loads(asked["metadata"] or "{}"),
                aliases=set(),
                is_committed=asked["artifactTypeName"] == "run_table",
            ),
        )
        for alias in (each["alias"] for each in asked["aliases"] or ()):
            for other in self.stored.values():
                if other.collection == collection:
                    other.aliases.discard(alias)
            artifact.aliases.add(alias)
        answer = {
            "id": key,
            "state": "COMMITTED" if artifact.is_committed else "PENDING",
            "artifactSequence": {"latestArtifact": None},
        }
        return {"createArtifact": {"artifact": answer}}

    def _CreateArtifactManifest(self, given: dict[str, Any]) -> dict[str, Any]:
        url = f"{self.url}/artifacts/{given['artifactID']}"
        file = {"id": "F", "uploadUrl": url, "uploadHeaders": []}
        manifest = {"id": f"M{given['artifactID']}", "file": file}
        return {"createArtifactManifest": {"artifactManifest": manifest}}

    def _CreateArtifactFiles(self, given: dict[str, Any]) -> dict[str, Any]:
        nodes: list[dict[str, Any]] = [
            {
                "storagePath": None,
                "uploadUrl": f"{self.url}/artifacts/{each['artifactID']}/{each['name']}",
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": each["artifactID"]},
            }
            for each in given["input"]["artifactFiles"]
        ]
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}

    def _CommitArtifact(self, given: dict[str, Any]) -> dict[str, Any]:
        artifact = self.stored[given["artifactID"]]
        artifact.is_committed = True
        found = {"id": given["artifactID"], "digest": artifact.digest}
        return {"commitArtifact": {"artifact": found}}

    def _UseArtifact(self, given: dict[str, Any]) -> dict[str, Any]:
        asked = given["input"]
        artifact = self.stored[asked["artifactID"]]
        artifact.used_by.add(asked["runName"])
        found = {"id": asked["artifactID"], "digest": artifact.digest}
        return {"useArtifact": {"artifact": found}}

    def upstream(self, collection: str, alias: str) -> set[str]:
        """Return what wandb's graph shows before an artifact, itself among it: "COLLECTION:ALIAS".

        Back from an artifact to the run that made it, and from that to all that it used.
        """
        at = [
            each
            for each in self.stored.values()
            if each.collection == collection and alias in each.aliases
        ]
        found: list[StoredArtifact] = []
        while at:
            artifact = at.pop()
            if artifact not in found:
                found.append(artifact)
                at += [
                    each
                    for each in self.stored.values()
                    if artifact.made_by is not None and artifact.made_by in each.used_by
                ]
        return {f"{each.collection}:{next(a for a in each.aliases if '-' in a)}" for each in found}
