"""What of KubeRay's resources our manifests may use, as JSON schemas: of version 1.5 and newer.

No package of a registry ships KubeRay's own schemas. These are written by hand from its API
reference, and know the fields that we use and no others, so a wrong or misplaced name is an error.
What is inside a pod is Kubernetes' own, and is checked by its schemas (`kubernetes_validate`).
"""

from __future__ import annotations

from typing import Any

COUNT = {"type": "integer", "minimum": 0}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
"""The values of `rayStartParams` are strings, numbers too."""


def _of(required: dict[str, Any], optional: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that has these fields and no others."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": sorted(required),
        "additionalProperties": False,
    }


POD = _of({"spec": {"type": "object"}}, {"metadata": {"type": "object"}})
HEAD = _of({"rayStartParams": TEXTS, "template": POD}, {"serviceType": {"type": "string"}})
WORKERS = _of(
    {
        "groupName": {"type": "string", "pattern": "^[a-z0-9-]+$"},
        "replicas": COUNT,
        "minReplicas": COUNT,
        "maxReplicas": COUNT,
        "rayStartParams": TEXTS,
        "template": POD,
    },
    {"numOfHosts": COUNT},
)
AUTOSCALER = _of(
    {},
    {
        "idleTimeoutSeconds": COUNT,
        "upscalingMode": {"enum": ["Default", "Aggressive", "Conservative"]},
        "resources": {"type": "object"},
        "securityContext": {"type": "object"},
        "volumeMounts": {"type": "array"},
    },
)
"""Beside its own fields it has those of a container, which Kubernetes' schemas check."""
CLUSTER = _of(
    {
        "rayVersion": {"type": "string"},
        "headGroupSpec": HEAD,
        "workerGroupSpecs": {"type": "array", "items": WORKERS},
    },
    {
        "authOptions": _of({"mode": {"enum": ["token", "disabled"]}}, {}),
        "enableInTreeAutoscaling": {"type": "boolean"},
        "autoscalerOptions": AUTOSCALER,
    },
)
JOB = _of(
    {"entrypoint": {"type": "string"}, "rayClusterSpec": CLUSTER},
    {
        "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        "backoffLimit": COUNT,
        "submitterConfig": _of({}, {"backoffLimit": COUNT}),
        "shutdownAfterJobFinishes": {"type": "boolean"},
        "ttlSecondsAfterFinished": COUNT,
        "runtimeEnvYAML": {"type": "string"},
    },
)
SPECS = {"RayCluster": CLUSTER, "RayJob": JOB}


def resource_schema(kind: str) -> dict[str, Any]:
    """Return the schema of a whole manifest of a kind."""
    name = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 50}
    return _of(
        {
            "apiVersion": {"const": "ray.io/v1"},
            "kind": {"const": kind},
            "metadata": _of({"name": name}, {"labels": TEXTS, "namespace": name}),
            "spec": SPECS[kind],
        },
        {},
    )
