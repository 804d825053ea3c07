"""An hour's weather pushed to the service is what the next prediction and training are given."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.feast_service import settings_of
from tests.support.flights_project import CLOCK, FlightsProject
from training.live.logged_predictions import Span
from training.live.open_log import open_log
from training.live.skew.find_skew import Verdict, find_skew
from training.project.workspace import Workspace

MODEL = "arrival_delay_15"

WEATHER = {
    "temperature_fahrenheit": 101.5,
    "dew_point_fahrenheit": 60.0,
    "humidity_percent": 40.0,
    "wind_direction_degrees": 180.0,
    "wind_speed_mph": 55.0,
    "wind_gust_mph": None,
    "precipitation_inches": 0.75,
    "pressure_millibars": 990.0,
    "visibility_miles": 0.25,
}
KNOWN_AT = "2013-10-01T12:15:00Z"


def push(client: AppClient, known_at: str) -> dict[str, Any]:
    row = {"origin": "EWR", **WEATHER, "event_timestamp": known_at}
    df = {name: [value] for name, value in row.items()}
    answer = client.post("/feast/push", json={"push_source_name": "origin_weather_push", "df": df})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()["views"]["origin_weather"]
    return told


def test_a_pushed_observation_reaches_the_next_prediction(
    flights: FlightsProject, tmp_path: Path
) -> None:
    # A copy: other tests compare what is online and in the lake with what the model was trained on.
    workspace = copy_project(flights, tmp_path)
    online_store = workspace.online_store_address
    assert online_store is not None
    settings = settings_of(
        workspace.home,
        online_store,
        database_url=workspace.database_url,
        artifacts_dir=workspace.artifacts_dir,
        log_spool_dir=tmp_path / "spool",
        clock=CLOCK,
    )
    instance = flights.spec(MODEL).example
    path = f"/v1/models/{MODEL}:predict?with_features=true"
    with AppClient(create_app(settings)) as client:
        before = client.post(path, json={"instances": [instance]}).json()
        assert push(client, "2013-10-01T09:00:00Z") == {"written": 0, "older": 1}
        assert (
            client.post(path, json={"instances": [instance]}).json()["features"]
            == before["features"]
        )
        assert push(client, KNOWN_AT) == {"written": 1, "older": 0}
        after = client.post(path, json={"instances": [instance]}).json()
        read = client.post(
            "/feast/get-online-features",
            json={
                "features": [f"origin_weather:{name}" for name in WEATHER],
                "entities": {"origin": ["EWR"]},
            },
        ).json()
    assert [one["values"] for one in read["results"]] == [["EWR"], *([v] for v in WEATHER.values())]
    (features,) = after["features"]
    told = {name: features[f"origin_weather:{name}"]["value"] for name in WEATHER}
    assert told == WEATHER
    assert features["origin_weather:wind_speed_mph"]["age_seconds"] == 120
    assert after["predictions"] != before["predictions"]
    with open_log(workspace=workspace) as log:
        # To open the tables is to bring what was pushed there.
        store = workspace.open_feature_store()
        skew = find_skew(log, store, MODEL, Span(), lambda _done, _total: None)
    assert (skew.n_rows, skew.n_faults) == (3, 0)
    assert skew.features["origin_weather", "wind_speed_mph"].count(Verdict.EQUAL) == 1


def copy_project(flights: FlightsProject, folder: Path) -> Workspace:
    """Copy the project with its database, but without what was predicted."""
    path = folder / "zeroskew.db"
    source = flights.workspace.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(path)) as there:
        here.backup(there)
        there.execute("DELETE FROM prediction")
        there.commit()
    return flights.copy(folder).model_copy(update={"database_url": f"sqlite:///{path}"})
