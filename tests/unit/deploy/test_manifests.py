"""The manifests for KubeRay, and the cluster of `ray up`, are what those who read them take."""

from __future__ import annotations

import copy
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from cluster.config_file import load_config
from tests.support.kuberay_schema import resource_schema

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "cluster" / "deploy"
KUBERNETES = "1.34"
RUNS = "/runs"
SECRETS = {"HF_TOKEN", "WANDB_API_KEY", "PGPASSWORD"}


def read(path: str) -> Any:
    return yaml.safe_load((DEPLOY / path).read_text())


def pin(name: str) -> str:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    (version,) = (line.removeprefix(f"{name}==") for line in lines if line.startswith(f"{name}=="))
    return version


@pytest.fixture(params=["RayCluster", "RayJob"])
def manifest(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = read(f"kuberay/{request.param.lower()}.yaml")
    assert found["kind"] == request.param
    return found


def cluster_of(manifest: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = manifest["spec"]
    return spec if manifest["kind"] == "RayCluster" else spec["rayClusterSpec"]


def groups_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = cluster_of(manifest)
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def pods_of(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each pod as a resource that Kubernetes' own schemas know."""
    for number, group in enumerate(groups_of(manifest)):
        spec = group["template"]["spec"]
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{number}"}, "spec": spec}


def check(manifest: dict[str, Any]) -> None:
    """Check a manifest of KubeRay's, and in it what Kubernetes knows."""
    schema = resource_schema(manifest["kind"])
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(manifest, schema)
    head, *workers = pods_of(manifest)
    head["spec"] = {**head["spec"], "containers": [*head["spec"]["containers"], scaler(manifest)]}
    for pod in (head, *workers):
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def scaler(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the container of the autoscaler, as KubeRay puts it into the head's pod."""
    options = cluster_of(manifest)["autoscalerOptions"]
    own = {"idleTimeoutSeconds", "upscalingMode"}
    given = {name: value for name, value in options.items() if name not in own}
    return {"name": "autoscaler", "image": "of-the-head", **given}


def test_kuberay_s_manifests_fit_their_schemas(manifest: dict[str, Any]) -> None:
    check(manifest)


def test_the_volume_of_the_runs_fits_its_schema() -> None:
    kubernetes_validate.validate(read("kuberay/storage.yaml"), KUBERNETES, strict=True)


Spoil = Callable[[dict[str, Any]], object]


def head_container(manifest: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = groups_of(manifest)[0]["template"]["spec"]["containers"][0]
    return container


SPOILS: dict[str, Spoil] = {
    "a number for a string": lambda m: groups_of(m)[0]["rayStartParams"].update({"num-gpus": 0}),
    "a name of another place": lambda m: cluster_of(m).update(replicas=1),
    "no workers' name": lambda m: groups_of(m)[1].pop("groupName"),
    "a misspelt probe": lambda m: head_container(m).update(livenesProbe={}),
    "a probe that asks nothing": lambda m: head_container(m)["startupProbe"].update(http={}),
    "a secret by value": lambda m: head_container(m)["env"][1].update(valueFrom={"secret": "x"}),
    "an autoscaler's misspelt option": lambda m: cluster_of(m)["autoscalerOptions"].update(idle=1),
    "an autoscaler's misspelt mount": lambda m: scaler(m)["volumeMounts"][0].update(path="/x"),
    "a resource that is none": lambda m: head_container(m)["resources"].update(cpu="8"),
    "another version": lambda m: m.update(apiVersion="ray.io/v1alpha1"),
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_what_does_not_fit_is_found(manifest: dict[str, Any], spoil: Spoil) -> None:
    spoilt = copy.deepcopy(manifest)
    spoil(spoilt)
    with pytest.raises(jsonschema.ValidationError):
        check(spoilt)


def test_versions_are_the_pinned_ones(manifest: dict[str, Any]) -> None:
    assert cluster_of(manifest)["rayVersion"] == pin("ray")


def test_the_image_is_of_this_version_and_the_same_everywhere(manifest: dict[str, Any]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {pod["spec"]["containers"][0]["image"] for pod in pods_of(manifest)}
    assert images == {read("ray_up/cluster.yaml")["docker"]["image"]} == {f"andon:{version}-gpu"}


def test_the_cluster_of_a_job_is_the_cluster_that_stays() -> None:
    job, cluster = read("kuberay/rayjob.yaml"), read("kuberay/raycluster.yaml")
    assert job["spec"]["rayClusterSpec"] == cluster["spec"]


def test_secrets_are_named_and_never_written(manifest: dict[str, Any]) -> None:
    for pod in pods_of(manifest):
        variables = {each["name"]: each for each in pod["spec"]["containers"][0]["env"]}
        given = {name for name, each in variables.items() if "valueFrom" in each}
        assert given == SECRETS
        for name in SECRETS:
            reference = variables[name]["valueFrom"]["secretKeyRef"]
            assert reference == {"name": "andon-secrets", "key": name.lower(), "optional": True}


def test_pods_share_the_runs_and_have_memory_for_the_object_store(manifest: dict[str, Any]) -> None:
    for group, pod in zip(groups_of(manifest), pods_of(manifest), strict=True):
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        (container,) = pod["spec"]["containers"]
        mounts = {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}
        claim = mounts[RUNS]["persistentVolumeClaim"]["claimName"]
        assert claim == read("kuberay/storage.yaml")["metadata"]["name"]
        shared = mounts["/dev/shm"]["emptyDir"]
        assert shared["medium"] == "Memory"
        store = int(group["rayStartParams"]["object-store-memory"])
        assert store < gib(shared["sizeLimit"]) * 2**30
        assert gib(shared["sizeLimit"]) < gib(container["resources"]["limits"]["memory"])


def gib(quantity: str) -> int:
    return int(quantity.removesuffix("Gi"))


def test_nobody_is_root(manifest: dict[str, Any]) -> None:
    for pod in pods_of(manifest):
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["automountServiceAccountToken"] is False
        own = pod["spec"]["containers"][0]["securityContext"]
        assert own == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_nodes_come_as_runs_ask_for_them_and_go(manifest: dict[str, Any]) -> None:
    assert cluster_of(manifest)["enableInTreeAutoscaling"] is True
    for group in cluster_of(manifest)["workerGroupSpecs"]:
        assert group["minReplicas"] == group["replicas"] < group["maxReplicas"]


def test_the_autoscaler_alone_is_known_to_kubernetes(manifest: dict[str, Any]) -> None:
    node_provider = ray_file("autoscaler/_private/kuberay/node_provider.py").read_text()
    own = scaler(manifest)
    (where,) = (each for each in own["volumeMounts"] if each["name"] == "autoscaler-token")
    assert f'"{where["mountPath"]}/token"' in node_provider
    assert own["securityContext"] == head_container(manifest)["securityContext"]
    head, *_ = pods_of(manifest)
    (volume,) = (each for each in head["spec"]["volumes"] if each["name"] == where["name"])
    sources = {name for each in volume["projected"]["sources"] for name in each}
    assert sources == {"serviceAccountToken", "configMap", "downwardAPI"}
    for pod in pods_of(manifest):
        (container,) = pod["spec"]["containers"]
        assert where["name"] not in {each["name"] for each in container["volumeMounts"]}


def test_ray_has_the_gpus_that_kubernetes_gives(manifest: dict[str, Any]) -> None:
    for group, pod in zip(groups_of(manifest), pods_of(manifest), strict=True):
        limits = pod["spec"]["containers"][0]["resources"]["limits"]
        assert group["rayStartParams"]["num-gpus"] == limits.get("nvidia.com/gpu", "0")


def test_pods_live_longer_than_a_run_takes_to_stop(manifest: dict[str, Any]) -> None:
    stop_s = load_config(ROOT / "cluster" / "demo.toml").cluster.stop_s
    for pod in pods_of(manifest):
        assert pod["spec"]["terminationGracePeriodSeconds"] > stop_s + 4


def test_ray_answers_every_probe_without_a_token(manifest: dict[str, Any]) -> None:
    """Ray's own lists, read: Kubernetes brings no token, so any other path is answered by 401."""
    agent, head = (
        ray_file(f"dashboard/http_server_{part}.py").read_text() for part in ("agent", "head")
    )
    without = {
        52365: set(re.findall(r'"(/api/\w+)"', agent.partition("PUBLIC_EXACT_PATHS = [")[2][:200])),
        8265: set(re.findall(r'"(/api/\w+)",  # \w+ health check', head)),
    }
    assert all(without.values())
    for pod in pods_of(manifest):
        (container,) = pod["spec"]["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container[probe]["httpGet"]
            assert asked["path"] in without[asked["port"]]


def ray_file(path: str) -> Path:
    found = find_spec("ray")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / path


def test_the_job_s_command_is_one_that_andon_takes() -> None:
    words = shlex.split(read("kuberay/rayjob.yaml")["spec"]["entrypoint"])
    assert words[:2] == ["andon", "run"]
    config = Path(words[2]).relative_to("/opt/andon")
    settings = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
    given = load_config(ROOT / config, settings)
    assert given.cluster.http_port == 8000
    assert given.labels.ledger_url.startswith("postgresql://"), "many machines, one ledger"
    assert given.metrics.wandb == "online"
    assert words[words.index("--folder") + 1].startswith(f"{RUNS}/")


def test_a_job_s_cluster_has_the_gpus_that_its_config_takes() -> None:
    spec = read("kuberay/rayjob.yaml")["spec"]
    config = load_config(ROOT / Path(spec["entrypoint"].split()[2]).relative_to("/opt/andon"))
    wanted = (
        config.rollouts.num_actors * config.cluster.gpus_per_actor
        + (config.learner.num_ranks + config.reward_trainer.num_ranks)
        * config.cluster.gpus_per_learner_rank
        + config.reward_service.replicas * config.cluster.gpus_per_reward_replica
    )
    workers = spec["rayClusterSpec"]["workerGroupSpecs"]
    (node,) = {int(each["rayStartParams"]["num-gpus"]) for each in workers}
    assert node == wanted


# --- ray up, ray job submit --------------------------------------------------------------------


@pytest.fixture
def ray_up_schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(ray_file("autoscaler/ray-schema.json").read_text())
    return schema


def test_the_cluster_of_ray_up_fits_ray_s_schema(ray_up_schema: dict[str, Any]) -> None:
    jsonschema.validate(read("ray_up/cluster.yaml"), ray_up_schema)


def test_ray_up_takes_every_key_that_is_set(ray_up_schema: dict[str, Any]) -> None:
    spoilt = read("ray_up/cluster.yaml")
    spoilt["docker"]["shm_size"] = "16g"
    with pytest.raises(jsonschema.ValidationError, match="shm_size"):
        jsonschema.validate(spoilt, ray_up_schema)


def test_the_cluster_of_ray_up_shares_the_runs_and_writes_no_secret() -> None:
    cluster = read("ray_up/cluster.yaml")
    options = cluster["docker"]["run_options"]
    assert any(each.startswith("--volume=") and each.endswith(f":{RUNS}") for each in options)
    assert any(each.startswith("--env-file=") for each in options)
    written = {
        each.removeprefix("--env=").partition("=")[0] for each in options if "--env=" in each
    }
    assert written.isdisjoint({*SECRETS, "RAY_AUTH_TOKEN"})
    for which in ("head", "worker"):
        store = re.search(r"--object-store-memory=(\d+)", cluster[f"{which}_start_ray_commands"][1])
        size = next(
            each for each in cluster["docker"][f"{which}_run_options"] if "--shm-size" in each
        )
        assert store is not None
        assert int(store[1]) < int(size.removeprefix("--shm-size=").removesuffix("g")) * 10**9


def test_no_manifest_names_a_registry() -> None:
    for path in DEPLOY.rglob("*.yaml"):
        for image in re.findall(r"image: (?:&\w+ )?([\w./:-]+)", path.read_text()):
            assert "/" not in image, path


# --- the page that says how ---------------------------------------------------------------------


def test_every_file_of_a_cluster_is_in_the_docs_and_every_file_there_is() -> None:
    page = (ROOT / "docs" / "cluster.md").read_text()
    named = set(re.findall(r"cluster/deploy/[\w./]+\w", page))
    assert all((ROOT / name).exists() for name in named)
    folders = ("container", "kuberay", "ray_up", "ray_jobs")
    files = {path for folder in folders for path in (DEPLOY / folder).iterdir()}
    assert {str(path.relative_to(ROOT)) for path in files} <= named


def test_the_docs_secrets_are_those_that_the_manifests_ask_for() -> None:
    page = (ROOT / "docs" / "cluster.md").read_text()
    keys = set(re.findall(r"--from-literal=(\w+)=", page))
    assert keys == {name.lower() for name in SECRETS}
