"""Looks at what kustomize renders: by Kubernetes's schemas, by checkov, and by rules of our own.

``python -m tests.support.manifest_checks`` looks at every overlay and at the Dockerfile, as
``make manifests`` does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import yaml

from tests.support.debian_programs import need_program
from tests.support.manifest_rules import find_broken_rules

__all__ = ["CHECKS", "TARGETS", "Findings", "check_dockerfile", "check_files", "render"]

ROOT: Final = Path(__file__).parents[2]
CHECKS: Final = ROOT / ".venv-checks" / "bin"
TARGETS: Final = (*("k8s/overlays/local", "k8s/overlays/production", "k8s/examples/kserve"),)
_WITHOUT_SCHEMA: Final = frozenset({"ServiceMonitor", "InferenceService"})
"""Kinds of others, whose shape `find_broken_rules` looks at as far as we use it."""

Findings: TypeAlias = dict[str, list[str]]
"""What is wrong, by the file's name."""


def render(target: str) -> str:
    """Return what kustomize makes of a folder."""
    kubectl = need_program("kubernetes-client", ["kubectl"])
    done = _run(kubectl, "kustomize", ROOT / target)
    if done.returncode != 0:
        raise ValueError(done.stderr)
    return done.stdout


def check_files(paths: Sequence[Path]) -> Findings:
    """Look at files of rendered manifests; each program starts once for all of them."""
    findings: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        documents = [one for one in yaml.safe_load_all(path.read_text()) if one]
        findings[path.name] += find_broken_rules(documents)
    _add_schema_errors(paths, findings)
    _add_checkov(["--framework", "kubernetes"], paths, findings)
    return {name: found for name, found in findings.items() if found}


def check_dockerfile() -> Findings:
    """Look at the Dockerfile."""
    path = ROOT / "Dockerfile"
    findings: defaultdict[str, list[str]] = defaultdict(list)
    done = _run(CHECKS / "hadolint", "--no-color", path)
    findings[path.name] += done.stdout.splitlines()
    _add_checkov(["--framework", "dockerfile"], [path], findings)
    return {name: found for name, found in findings.items() if found}


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)


def _add_schema_errors(paths: Sequence[Path], findings: defaultdict[str, list[str]]) -> None:
    done = _run(CHECKS / "kubernetes-validate", "--strict", *paths)
    for line in (done.stdout + done.stderr).splitlines():
        kind, _, rest = line.partition(" ")
        is_known = any(f"kind {name} " in rest for name in _WITHOUT_SCHEMA)
        if kind == "INFO" or (kind == "WARN" and is_known):
            continue
        for path in paths:
            if str(path) in line:
                findings[path.name].append(rest.replace(str(path), "").strip())
                break
        else:
            # What belongs to no file is about all of them.
            for path in paths:
                findings[path.name].append(line)


def _add_checkov(
    framework: Sequence[str], paths: Sequence[Path], findings: defaultdict[str, list[str]]
) -> None:
    command = [str(CHECKS / "checkov"), "--skip-download", "--quiet", "--output", "json"]
    command += ["--config-file", str(ROOT / "k8s" / "checkov.yaml"), *framework]
    for path in paths:
        command += ["--file", str(path)]
    done = _run(*command)
    reports = json.loads(done.stdout)
    for report in reports if isinstance(reports, list) else [reports]:
        for failed in report.get("results", {}).get("failed_checks", []):
            name = Path(failed["file_path"]).name
            text = f"{failed['check_id']} {failed['check_name']}: {failed['resource']}"
            findings[name].append(text)


def _report(what: str, findings: Findings) -> bool:
    for found in findings.values():
        for line in found:
            sys.stdout.write(f"{what}: {line}\n")
    sys.stdout.write(f"==> {what}: {sum(map(len, findings.values()))} findings\n")
    return not findings


def main(targets: Iterable[str] = TARGETS) -> int:
    """Look at everything, and return an exit status."""
    is_clean = _report("Dockerfile", check_dockerfile())
    with tempfile.TemporaryDirectory() as folder:
        for target in targets:
            path = Path(folder) / f"{Path(target).name}.yaml"
            path.write_text(render(target))
            is_clean &= _report(target, check_files([path]))
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
