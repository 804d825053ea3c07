"""The example on servers answers what it answers on files."""

from pathlib import Path

from tests.support.databases import open_database_url
from tests.support.flights_project import FlightsProject
from tests.support.machines import Machine, predict_flight
from tests.support.redis_servers import RedisServer


def test_redis_and_postgresql_give_the_same_scores(flights: FlightsProject, tmp_path: Path) -> None:
    repo = flights.folder / "feature_repo"
    home = {"ZEROSKEW_HOME": str(flights.workspace.home)}
    with (
        open_database_url("postgres", tmp_path) as url,
        open_database_url("postgres", tmp_path) as feast_url,
        RedisServer(tmp_path / "redis") as redis,
    ):
        servers = Machine(
            tmp_path / "servers",
            url,
            repo,
            **home,
            ZEROSKEW_FEATURE_STORE_FILE="feature_store.production.yaml",
            ZEROSKEW_FEAST_REGISTRY=feast_url.replace("postgresql:", "postgresql+psycopg:"),
            ZEROSKEW_FEAST_REDIS=f"127.0.0.1:{redis.port}",
            ZEROSKEW_ONLINE_STORE=redis.url,
            ZEROSKEW_RATE_LIMIT_STORE=redis.url,
        )
        # The definitions say where the lake is, beside the feature repo.
        (tmp_path / "servers" / "var").symlink_to(flights.workspace.home)
        servers.run("zeroskew migrate; zeroskew apply; zeroskew materialize")
        servers.run("zeroskew publish arrival_delay_15")
        key = servers.run("zeroskew keys create all --scope predict").strip()
        with servers.serve(key) as client:
            on_servers = predict_flight(client)
    files = Machine(tmp_path / "files", flights.workspace.database_url, repo, **home)
    (tmp_path / "files" / "var").symlink_to(flights.workspace.home)
    files.environment = dict(files.environment) | {"ZEROSKEW_REQUIRE_KEYS": "false"}
    with files.serve("none") as client:
        on_files = predict_flight(client)
    assert on_servers["predictions"] == on_files["predictions"]
