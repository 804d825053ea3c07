"""Every overlay is what it should be, and what is planted in one is found."""

import copy
import fcntl
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
import yaml

from tests.support.manifest_checks import CHECKS, TARGETS, check_dockerfile, check_files, render

ROOT: Final = Path(__file__).parents[2]
Documents: TypeAlias = list[dict[str, Any]]
Mutation: TypeAlias = Callable[[Documents], None]


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    """Install the tools, once for all workers of pytest-xdist."""
    with (Path(tempfile.gettempdir()) / "zeroskew-checks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        target = f"{CHECKS.parent.relative_to(ROOT)}/.installed"
        done = subprocess.run(
            ["make", target], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def find(documents: Documents, kind: str, name: str = "zeroskew") -> dict[str, Any]:
    (found,) = (one for one in documents if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def pod(documents: Documents) -> dict[str, Any]:
    found: dict[str, Any] = find(documents, "Deployment")["spec"]["template"]["spec"]
    return found


def container(documents: Documents) -> dict[str, Any]:
    found: dict[str, Any] = pod(documents)["containers"][0]
    return found


def drop(kind: str, name: str = "zeroskew") -> Mutation:
    def change(documents: Documents) -> None:
        documents.remove(find(documents, kind, name))

    return change


def set_in_pod(**values: Any) -> Mutation:
    return lambda documents: pod(documents).update(values)


def set_in_container(**values: Any) -> Mutation:
    return lambda documents: container(documents).update(values)


def set_in_security(**values: Any) -> Mutation:
    return lambda documents: container(documents)["securityContext"].update(values)


def drop_from_container(name: str) -> Mutation:
    return lambda documents: container(documents).pop(name)


def add_variable(name: str, value: str) -> Mutation:
    return lambda documents: container(documents)["env"].append({"name": name, "value": value})


def open_network(documents: Documents) -> None:
    find(documents, "NetworkPolicy")["spec"]["ingress"].append(
        {"from": [{"namespaceSelector": {}}]}
    )


def let_all_out(documents: Documents) -> None:
    spec = find(documents, "NetworkPolicy", "zeroskew-stores")["spec"]
    spec["egress"][0]["to"] = [{"ipBlock": {"cidr": "0.0.0.0/0"}}]


def mistype(documents: Documents) -> None:
    container(documents)["readinesProbe"] = container(documents).pop("readinessProbe")


def drop_limits(documents: Documents) -> None:
    del container(documents)["resources"]["limits"]


def shrink_disk(documents: Documents) -> None:
    container(documents)["resources"]["limits"]["ephemeral-storage"] = "128Mi"


def mistype_monitor(documents: Documents) -> None:
    find(documents, "ServiceMonitor")["spec"]["endpoints"][0]["intervall"] = "5s"


ROOT_USER = {"runAsNonRoot": False, "runAsUser": 0}
MUTATIONS: Final[dict[str, Mutation]] = {
    "no limits": drop_limits,
    "a disk smaller than the spool": shrink_disk,
    "no resources": drop_from_container("resources"),
    "root": set_in_pod(securityContext=ROOT_USER),
    "privileged": set_in_security(privileged=True),
    "privilege escalation": set_in_security(allowPrivilegeEscalation=True),
    "writable root file system": set_in_security(readOnlyRootFilesystem=False),
    "capabilities": set_in_security(capabilities={"add": ["NET_ADMIN"]}),
    "no seccomp profile": set_in_pod(
        securityContext={"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001}
    ),
    "latest tag": set_in_container(image="registry.example/zeroskew-serving:latest"),
    "no tag": set_in_container(image="registry.example/zeroskew-serving"),
    "no readiness probe": drop_from_container("readinessProbe"),
    "no liveness probe": drop_from_container("livenessProbe"),
    "liveness that depends on others": set_in_container(
        livenessProbe={"httpGet": {"path": "/readyz", "port": "http"}}
    ),
    "no pause before the stop": drop_from_container("lifecycle"),
    "a grace that is too short": set_in_pod(terminationGracePeriodSeconds=10),
    "open network": open_network,
    "a way out to everywhere": let_all_out,
    "nothing denied": drop("NetworkPolicy", "default-deny"),
    "secret in clear": add_variable("PGPASSWORD", "hunter2"),
    "secret in an address": add_variable("ZEROSKEW_X", "redis://u:hunter2@redis:6379"),
    "service account token": set_in_pod(automountServiceAccountToken=True),
    "host network": set_in_pod(hostNetwork=True),
    "host path": lambda documents: pod(documents)["volumes"].append(
        {"name": "host", "hostPath": {"path": "/"}}
    ),
    "no disruption budget": drop("PodDisruptionBudget"),
    "no autoscaler": drop("HorizontalPodAutoscaler"),
    "a mistyped field": mistype,
    "a mistyped field of a kind without a schema": mistype_monitor,
    "service links": set_in_pod(enableServiceLinks=True),
    "a volume without a bound": lambda documents: pod(documents)["volumes"].append(
        {"name": "more", "emptyDir": {}}
    ),
}


def test_every_overlay_and_the_dockerfile_are_clean(tmp_path: Path) -> None:
    paths = []
    for target in TARGETS:
        path = tmp_path / f"{Path(target).name}.yaml"
        path.write_text(render(target))
        paths.append(path)
    assert check_files(paths) == {}
    assert check_dockerfile() == {}


def test_everything_that_is_planted_is_found(tmp_path: Path) -> None:
    rendered = list(yaml.safe_load_all(render("k8s/overlays/production")))
    # What nothing is planted in costs checkov time.
    documents = [one for one in rendered if one["kind"] not in ("CronJob", "Job")]
    paths = []
    for number, mutate in enumerate(MUTATIONS.values()):
        changed = copy.deepcopy(documents)
        mutate(changed)
        assert changed != documents
        paths.append(tmp_path / f"mutation_{number}.yaml")
        paths[-1].write_text(yaml.safe_dump_all(changed))
    untouched = tmp_path / "untouched.yaml"
    untouched.write_text(yaml.safe_dump_all(documents))
    findings = check_files([*paths, untouched])
    assert untouched.name not in findings
    missed = [
        name for name, path in zip(MUTATIONS, paths, strict=True) if path.name not in findings
    ]
    assert missed == []


@pytest.mark.parametrize("target", [one for one in TARGETS if "overlays" in one])
def test_whoever_asks_for_a_secret_is_told_which_to_make(target: str) -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    for document in yaml.safe_load_all(render(target)):
        for name, key in find_secrets(document):
            assert name == "zeroskew"
            assert f"--from-literal={key}=" in page, key


def find_secrets(node: Any) -> list[tuple[str, str]]:
    if isinstance(node, list):
        return [found for item in node for found in find_secrets(item)]
    if not isinstance(node, dict):
        return []
    own = [
        (node[name]["name"], node[name]["key"])
        for name in ("secretKeyRef", "credentials")
        if isinstance(node.get(name), dict)
    ]
    return own + [found for item in node.values() for found in find_secrets(item)]
