"""The runbook's own commands bring everything back on an empty machine."""

import re
import shutil
from contextlib import ExitStack
from pathlib import Path

from tests.support.databases import open_database_url
from tests.support.debian_programs import need_program
from tests.support.flights_project import CLOCK, FlightsProject
from tests.support.machines import Machine, predict_flight

RUNBOOK = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()


def block(name: str) -> str:
    """Return the runbook's commands under a mark."""
    (found,) = re.findall(rf"<!-- {name} -->\n```bash\n(.*?)```", RUNBOOK, re.DOTALL)
    text: str = found
    return text


def test_a_restored_machine_answers_as_the_one_before(
    flights: FlightsProject, tmp_path: Path
) -> None:
    need_program("postgresql-client", ["pg_dump"])
    backup = tmp_path / "backup"
    backup.mkdir()
    with ExitStack() as stack:
        urls = [stack.enter_context(open_database_url("postgres", tmp_path)) for _ in range(2)]
        before, after = (
            Machine(tmp_path / name, url, flights.folder / "feature_repo", BACKUP=str(backup))
            for name, url in zip(("before", "after"), urls, strict=True)
        )
        shutil.copytree(flights.workspace.home, before.folder / "var")
        before.run("zeroskew migrate; zeroskew apply; zeroskew publish arrival_delay_15")
        key = before.run("zeroskew keys create all --scope admin").strip()
        with before.serve(key) as client:
            first = predict_flight(client)
            label = {"prediction_id": first["id"], "value": True}
            label["observed_at"] = CLOCK.isoformat()
            assert client.post("/v1/feedback", json={"labels": [label]}).status_code == 200
        before.run(block("backup"))
        shutil.rmtree(before.folder)
        listed = after.run(block("restore"))
        assert "arrival_delay_15" in listed
        with after.serve(key) as client:
            second = predict_flight(client)
            assert second["predictions"] == first["predictions"]
            replayed = client.post(f"/v1/predictions/{first['id']}:replay").json()
            assert replayed["is_equal"] is True
            labels = client.get("/v1/feedback", params={"prediction_id": first["id"]}).json()
            assert [one["value"] for one in labels["labels"]] == [True]
            assert client.get("/v1/models", headers={"Authorization": ""}).status_code == 401
