"""A prediction takes the way that docs/architecture.md tells, file by file, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.main import create_app
from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.online_stores import make_store
from tests.support.redis_servers import RedisServer
from tests.support.request_way import RequestWay, follow_requests
from tests.support.settings import make_settings
from tests.support.whole_service import VIEWS, fill_views
from zeroskew.contract.scope import Scope
from zeroskew.records.access.access_store import AccessStore

PAGE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
_, _, TOLD = PAGE.partition("\n## The way of a prediction\n")
LISTED = re.findall(r"^\d+\. `((?:api|zeroskew)/[\w/]+\.py)`", TOLD.split("\n## ")[0], re.MULTILINE)
MOST_FILES = 26


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RequestWay]]:
    folder = tmp_path_factory.mktemp("way")
    graph = sum_graph(6, 2)
    publish(folder, make_manifest(graph), graph)
    with RedisServer(folder / "redis") as server:
        config = {"type": "redis", "connection_string": f"127.0.0.1:{server.port}"}
        fill_views(make_store(folder / "model_repo", VIEWS, config))
        settings = make_settings(folder, folder / "none.db", require_keys=True)
        registry = AccessStore.open(settings.database_url)
        key = registry.create_key("test", [Scope.PREDICT]).text
        registry.close()
        yield follow_requests(
            create_app(settings.model_copy(update={"online_store": server.url})),
            "/v1/models/arrival_delay:predict",
            {"instances": [EXAMPLE]},
            {"Authorization": f"Bearer {key}"},
            n_times=5,
        )


def test_the_page_lists_the_files_in_which_a_prediction_runs(ways: list[RequestWay]) -> None:
    # Work beside the requests may fall between: it is not part of the way of all.
    common = [file for file in ways[0].files if all(file in way.files for way in ways)]
    assert common == LISTED
    assert len(LISTED) <= MOST_FILES


def test_nothing_calls_back_into_the_route(ways: list[RequestWay]) -> None:
    for way in ways:
        behind = way.called[way.called.index("api/predict/answering.py") :]
        assert "zeroskew/model/model_session.py" in behind
        assert [file for file in behind if file.startswith("api/v1/")] == []
