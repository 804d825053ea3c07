"""Twenty secrets go through every operation, and come out nowhere."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from api.main import create_app
from api.predict.answering import Answering
from tests.api.http.test_tracing import Collector
from tests.support.app_client import AppClient
from tests.support.canaries import HEADERS, find_canaries, secret
from tests.support.databases import open_database_url
from tests.support.feast_service import make_flights_store, publish_catalog
from tests.support.manifests import EXAMPLE
from tests.support.online_stores import make_store
from tests.support.redis_servers import RedisServer
from tests.support.service_log import service_log
from tests.support.settings import make_settings
from tests.support.whole_service import VIEWS, fill_views, publish_every_kind
from zeroskew.contract.scope import Scope
from zeroskew.records.access.access_store import AccessStore

WRONG_CREDENTIALS: Final = (
    {"Authorization": f"Bearer {secret('bearer')}"},
    {"Authorization": f"Basic {secret('basic')}"},
    {"X-API-Key": secret("key")},
    {"Authorization": f"Bearer zsk_0123456789ab_{secret('shaped'):C<43.43}"},
    {"Authorization": f"Bearer {secret('head')}.{secret('body')}.{secret('signature')}"},
)
QUERY: Final = f"?token={secret('query')}"
# A refusal tells who sent it what came; nothing else may.
PERSON: Final = "JaneCanaryDoe"
REDIS_PASSWORD: Final = secret("redis")
HASH_KEY: Final = secret("hash") * 3


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def list_operations(client: AppClient, key: str) -> list[tuple[str, str]]:
    document = client.get("/openapi.json", headers={"X-API-Key": key}).json()
    names = {"model": "is_late", "version": "1", "alias": "champion"}
    return [
        (method.upper(), re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], "x"), path))
        for path, operations in document["paths"].items()
        for method in operations
        # What changes the registry would take the models away from the rest.
        if method in ("get", "post") and ":retire" not in path
    ]


def ask_everything(client: AppClient, keys: list[str]) -> str:
    """Send every operation every secret; return all that was answered."""
    answers = []
    bodies: tuple[Any, ...] = (
        {"instances": [EXAMPLE | {"origin": PERSON}]},
        {"instances": [{PERSON: PERSON}]},
        f'{{"instances": [{PERSON}',
    )
    for method, path in list_operations(client, keys[0]):
        for credentials in (*WRONG_CREDENTIALS, *({"X-API-Key": key} for key in keys)):
            for body in bodies if method == "POST" else ("",):
                content = body if isinstance(body, str) else json.dumps(body)
                headers = HEADERS | credentials | {"Content-Type": "application/json"}
                for address in (path, path + QUERY):  # A query that is not known is refused.
                    answer = client.request(method, address, headers=headers, content=content)
                    answers.append(f"{dict(answer.headers)} {answer.text}")
    return "\n".join(answers)


def test_no_secret_comes_out_anywhere(
    tmp_path: Path, collector: Collector, capfd: pytest.CaptureFixture[str]
) -> None:
    with (
        service_log("debug"),
        open_database_url("postgres", tmp_path) as url,
        RedisServer(tmp_path / "redis", "--requirepass", REDIS_PASSWORD) as redis,
    ):
        address = f"127.0.0.1:{redis.port},password={REDIS_PASSWORD}"
        config = {"type": "redis", "connection_string": address}
        fill_views(make_store(tmp_path / "model_repo", VIEWS, config))
        publish_every_kind(tmp_path, url)
        publish_catalog(tmp_path, make_flights_store(tmp_path / "feast_repo", config))
        registry = AccessStore.open(url)
        keys = [registry.create_key("all", [Scope.ADMIN]).text]
        keys.append(registry.create_key("ours", [Scope.PREDICT], tenant="ours").text)
        revoked = registry.create_key("revoked", [Scope.ADMIN])
        registry.revoke_key(revoked.key.id)
        registry.close()
        keys.append(revoked.text)
        server = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{redis.port}"
        settings = make_settings(
            tmp_path,
            tmp_path / "unused.db",
            database_url=url,
            require_keys=True,
            rate_limit_store=server,
            requests_per_sec=1e6,
            log_hash_key=HASH_KEY,
            log_spool_dir=tmp_path / "spool",
            log_models={"is_late": {"hashed_fields": ["carrier"]}},
            traces_endpoint=collector.endpoint,
        ).model_copy(update={"online_store": server})
        with AppClient(create_app(settings)) as client:
            answers = ask_everything(client, keys)
            answering = client.part(Answering)
            client.app.parts[Answering] = None  # Whoever asks for a prediction crashes.
            answers += ask_everything(client, keys[:1])
            client.app.parts[Answering] = answering
            redis.kill()
            answers += ask_everything(client, keys[:1])
            metrics = client.get("/metrics", headers={"X-API-Key": keys[0]}).text
    captured = capfd.readouterr()
    logged = captured.out + captured.err
    assert "request_crashed" in logged
    assert "zeroskew_requests_total" in metrics
    assert len(collector.spans) > 100
    spans = b"".join(collector.bodies).decode("latin-1")
    for name, found in (("log", logged), ("metrics", metrics), ("spans", spans)):
        assert find_canaries(found) == set(), name
        assert all(one not in found for one in (PERSON, *keys)), name
    assert find_canaries(answers) == set()
    assert all(key not in answers for key in keys)
