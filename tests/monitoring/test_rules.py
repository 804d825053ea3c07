"""Alerts come when they should; rules, dashboard and runbook speak of the same metrics."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.metrics.instruments import Counter, Histogram, Instrument
from api.metrics.service_metrics import ServiceMetrics
from tests.support.debian_programs import need_program

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
RULES = yaml.safe_load((MONITORING / "rules.yaml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
RECORDED = {
    rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule
}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [need_program("prometheus", ["promtool"]), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=MONITORING)


def list_series() -> set[str]:
    metrics = ServiceMetrics()
    found = {"up"} | RECORDED
    for one in [*vars(metrics).values(), *vars(metrics.gauges).values()]:
        if isinstance(one, Histogram):
            found |= {f"{one.name}_{part}" for part in ("bucket", "sum", "count")}
        elif isinstance(one, Instrument):
            assert one.name.endswith("_total") == isinstance(one, Counter), one.name
            found.add(one.name)
    return found


def list_expressions() -> list[str]:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    panels = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])
    ]
    assert len(panels) > 20
    rules = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
    return rules + [
        text.replace("$__rate_interval", "5m").replace("$model", "m").replace("$job", "j")
        for text in panels
    ]


def test_the_rules_do_as_their_tests_say() -> None:
    assert promtool("check", "rules", "rules.yaml").returncode == 0
    done = promtool("test", "rules", "rules_test.yaml")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("alert", [rule["alert"] for rule in ALERTS])
def test_an_alert_that_never_comes_would_be_found(alert: str, tmp_path: Path) -> None:
    changed: dict[str, Any] = json.loads(json.dumps(RULES))
    for group in changed["groups"]:
        for rule in group["rules"]:
            if rule.get("alert") == alert:
                rule["expr"] = f"({rule['expr']}) and vector(0) > 1"
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(changed))
    (tmp_path / "test.yaml").write_text((MONITORING / "rules_test.yaml").read_text())
    done = promtool("test", "rules", str(tmp_path / "test.yaml"))
    assert done.returncode != 0
    assert alert in done.stdout + done.stderr


def test_rules_and_dashboard_ask_for_what_there_is() -> None:
    known = list_series()
    for expression in list_expressions():
        asked = set(re.findall(r"\b(?:zeroskew[a-z0-9_:]*|up)\b(?=[\[{) ]|$)", expression))
        assert asked, expression
        assert asked <= known, asked - known


def test_the_dashboard_has_no_malformed_expression(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:number_{index}", "expr": expression}
        for index, expression in enumerate(list_expressions())
    ]
    (tmp_path / "rules.yaml").write_text(
        yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]})
    )
    done = promtool("check", "rules", str(tmp_path / "rules.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_place_in_the_runbook() -> None:
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in ALERTS]
    for rule in ALERTS:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs" / "observability.md").read_text()
    shortened = set(re.findall(r"`…([a-z_]+)`", text))
    for name in {re.sub("_(bucket|sum|count)$", "", one) for one in list_series() - RECORDED}:
        known = name == "up" or f"`{name}`" in text
        assert known or any(name.endswith(end) for end in shortened), name
