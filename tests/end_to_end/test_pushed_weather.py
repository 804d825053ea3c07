"""An hour's weather pushed to the service is what the next prediction is made from."""

import shutil
from pathlib import Path
from typing import Any

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.feast_service import settings_of
from tests.support.flights_project import CLOCK, FlightsProject

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
    # A copy: other tests compare what is online with what the model was trained on.
    online = flights.workspace.online_store_path
    assert online is not None
    shutil.copy(online, tmp_path / "online.db")
    settings = settings_of(
        flights.workspace.home,
        f"sqlite:///{tmp_path}/online.db",
        database_url=flights.workspace.database_url,
        artifacts_dir=flights.workspace.artifacts_dir,
        clock=CLOCK,
    )
    instance = flights.spec("arrival_delay_15").example
    path = "/v1/models/arrival_delay_15:predict?with_features=true"
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
