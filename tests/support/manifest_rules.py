"""What our manifests must be, beyond what schemas and checkov know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

__all__ = ["find_broken_rules"]

Document: TypeAlias = Mapping[str, Any]

_SECRET: Final = re.compile(r"password|secret|token|api_?key|://[^/@\s]+:[^/@\s]+@", re.IGNORECASE)
_SHAPES: Final[Mapping[str, frozenset[str]]] = {
    "ServiceMonitor": frozenset({"jobLabel", "selector", "endpoints"}),
    "InferenceService": frozenset({"predictor"}),
}
_ENDPOINT: Final = frozenset({"port", "path", "interval", "scrapeTimeout", "authorization"})


def find_broken_rules(documents: Sequence[Document]) -> list[str]:
    """Return what is wrong with the manifests of one overlay."""
    broken: list[str] = []
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        broken += [f"{name}: {what}" for what in _check_document(document)]
    broken += _check_together(documents)
    return broken


def _check_document(document: Document) -> Iterator[str]:
    kind, spec = document["kind"], document.get("spec", {})
    if kind in _SHAPES:
        yield from (f"unknown field {name}" for name in spec.keys() - _SHAPES[kind])
    if kind == "ServiceMonitor":
        for endpoint in spec["endpoints"]:
            yield from (f"unknown field {name}" for name in endpoint.keys() - _ENDPOINT)
    if kind == "Secret":
        yield "secrets are made by whoever knows them, not written here"
    if kind == "NetworkPolicy" and any(_list_open_ways(spec)):
        yield "it is open to all"
    if kind == "ConfigMap":
        for name, value in document.get("data", {}).items():
            if _SECRET.search(f"{name}={value}"):
                yield f"{name} looks like a secret in clear"
    pod = _find_pod(document)
    if pod is not None:
        yield from _check_pod(pod, kind)


def _list_open_ways(policy: Document) -> Iterator[bool]:
    for way, side in (("ingress", "from"), ("egress", "to")):
        for rule in policy.get(way, ()):
            yield not rule.get(side) or not rule.get("ports")
            for peer in rule.get(side, ()):
                yield peer in ({}, {"namespaceSelector": {}}) or "/0" in str(peer)


def _find_pod(document: Document) -> Document | None:
    spec = document.get("spec", {})
    if document["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found: Document | None = (
        spec.get("predictor")
        if document["kind"] == "InferenceService"
        else spec.get("template", {}).get("spec")
    )
    return found


def _check_pod(pod: Document, kind: str) -> Iterator[str]:
    if pod.get("enableServiceLinks") is not False:
        yield "a Service would put ZEROSKEW_PORT into its environment"
    if pod.get("automountServiceAccountToken") is not False:
        yield "it has a token of Kubernetes"
    if not (pod.get("securityContext") or {}).get("runAsNonRoot"):
        yield "it may run as root"
    for volume in pod.get("volumes", ()):
        if "hostPath" in volume:
            yield f"volume {volume['name']} is the node's own"
        if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
            yield f"volume {volume['name']} has no bound"
    if _sum_disk(pod) > sum(
        _to_bytes((one.get("resources") or {}).get("limits", {}).get("ephemeral-storage", "0"))
        for one in pod["containers"]
    ):
        yield "its volumes may grow beyond its ephemeral-storage: it would be evicted before"
    for container in pod["containers"]:
        yield from _check_container(container, pod, kind)


def _sum_disk(pod: Document) -> int:
    volumes = [volume.get("emptyDir") or {} for volume in pod.get("volumes", ())]
    return sum(
        _to_bytes(volume.get("sizeLimit", "0"))
        for volume in volumes
        if volume.get("medium") != "Memory"
    )


def _to_bytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(|Ki|Mi|Gi)", quantity).groups()  # type: ignore[union-attr]  # ours are written so
    return int(number) * 1024 ** ("", "Ki", "Mi", "Gi").index(unit)


def _check_container(container: Document, pod: Document, kind: str) -> Iterator[str]:
    if not re.fullmatch(r".+(:[^:/]*\d[^:/]*|@sha256:[0-9a-f]{64})", container["image"]):
        yield f"image {container['image']} has no version"
    for variable in container.get("env", ()):
        if (
            _SECRET.search(f"{variable['name']}={variable.get('value', '')}")
            and "value" in variable
        ):
            yield f"{variable['name']} looks like a secret in clear"
    if kind not in ("Deployment", "InferenceService"):
        return
    liveness, readiness = (
        container.get(name, {}).get("httpGet", {}).get("path")
        for name in ("livenessProbe", "readinessProbe")
    )
    if liveness != "/livez":
        yield "liveness must not depend on others: /livez"
    if readiness != "/readyz":
        yield "readiness is told by /readyz"
    pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if pause < 5:
        yield "requests still come while endpoints are taken away: preStop must wait"
    if pod.get("terminationGracePeriodSeconds", 30) < pause + 10 + 5:
        yield "the grace is too short for the pause, the requests under way and the log"


def _check_together(documents: Sequence[Document]) -> Iterator[str]:
    kinds = {document["kind"] for document in documents}
    if "Deployment" in kinds:
        for kind in ("PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy"):
            if kind not in kinds:
                yield f"there is no {kind}"
        if not any(_denies_all(document) for document in documents):
            yield "no NetworkPolicy denies what none allows"
    for document in documents:
        if document["kind"] == "Deployment" and "replicas" in document["spec"]:
            yield "replicas would take the number away from the autoscaler"


def _denies_all(document: Document) -> bool:
    spec = document.get("spec", {})
    return (
        document["kind"] == "NetworkPolicy"
        and spec.get("podSelector") == {}
        and set(spec.get("policyTypes", ())) == {"Ingress", "Egress"}
        and not spec.get("ingress")
        and not spec.get("egress")
    )
