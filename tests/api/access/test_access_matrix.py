"""Every operation of the OpenAPI document × every scope × the own and another's tenant."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from fastapi import APIRouter, FastAPI

from api.access.route_access import SECURITY_SCHEME, require_declared
from api.http.guarded_route import GuardedRoute
from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE
from tests.support.settings import make_settings
from tests.support.whole_service import set_up_whole_service
from zeroskew.contract.scope import Scope
from zeroskew.records.access.access_store import AccessStore

MODEL = "arrival_delay"
TENANTS = (None, "ours", "theirs")
NOT_FOR_TENANTS = (
    *("/feast/get-online-features", "/feast/push", "/feast/write-to-online-store", "/metrics"),
    "/v1/events/x",
)
REFUSED = ("unauthenticated", "forbidden", "unknown_model")


class Operation(NamedTuple):
    method: str
    path: str
    security: list[dict[str, list[str]]]

    @property
    def scope(self) -> str | None:
        (needed,) = self.security[0][SECURITY_SCHEME] or (None,)
        return needed

    @property
    def names_model(self) -> bool:
        return f"/models/{MODEL}" in self.path


class Service(NamedTuple):
    client: AppClient
    keys: dict[tuple[Scope, str | None], str]
    operations: list[Operation]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("matrix")
    online = set_up_whole_service(folder)
    settings = make_settings(folder, online, require_keys=True)
    registry = AccessStore.open(settings.database_url)
    registry.set_tenant(MODEL, "ours")
    keys = {
        (scope, tenant): registry.create_key("test", [scope], tenant=tenant).text
        for scope in Scope
        for tenant in TENANTS
    }
    registry.close()
    with AppClient(create_app(settings)) as client:
        everything = {"Authorization": f"Bearer {keys[Scope.ADMIN, None]}"}
        document = client.get("/openapi.json", headers=everything).json()
        yield Service(client, keys, list(list_operations(document)))


def list_operations(document: dict[str, Any]) -> Iterator[Operation]:
    names = {"model": MODEL, "version": "1", "alias": "champion"}
    for path, operations in document["paths"].items():
        filled = re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], "x"), path)
        for method, operation in operations.items():
            yield Operation(method.upper(), filled, operation["security"])


def ask(service: Service, operation: Operation, headers: dict[str, str]) -> tuple[int, str]:
    """Send something that nobody can do, so that nothing changes; return status and code."""
    response = service.client.request(
        operation.method, operation.path, headers=headers, content=b"\xff"
    )
    is_problem = "problem" in response.headers.get("content-type", "")
    code = response.json()["code"] if is_problem else ""
    if operation.path.startswith("/v2") and not code and response.status_code >= 400:
        code = {401: "unauthenticated", 403: "forbidden", 404: "unknown_model"}.get(
            response.status_code, "other"
        )
    return response.status_code, code


def test_every_operation_says_what_it_needs(service: Service) -> None:
    assert len(service.operations) > 40
    needed = {operation.scope for operation in service.operations if operation.security}
    assert needed == {None, *map(str, Scope)} - {Scope.ADMIN}


def expect(operation: Operation, scope: Scope, tenant: str | None) -> str | None:
    """Return the code with which a key is refused by the guard, ``None`` where it goes through."""
    if not operation.security:
        return None
    if operation.scope is not None and scope not in (operation.scope, Scope.ADMIN):
        return "forbidden"
    if tenant is not None and operation.path in NOT_FOR_TENANTS:
        return "forbidden"
    if tenant == "theirs" and operation.names_model:
        return "unknown_model"
    return None


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.parametrize("scope", Scope)
def test_a_key_does_what_its_scope_and_its_tenant_let_it(
    service: Service, scope: Scope, tenant: str | None
) -> None:
    headers = {"Authorization": f"Bearer {service.keys[scope, tenant]}"}
    for operation in service.operations:
        _, code = ask(service, operation, headers)
        expected = expect(operation, scope, tenant)
        if expected is None:
            assert code not in REFUSED, (operation, code)
        else:
            assert code == expected, operation


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer zsk_000000000000_" + "A" * 43},
        {"Authorization": "Basic dTpw"},
        {"X-API-Key": "ключ".encode()},
        {"X-API-Key": "x" * 8000},
    ],
    ids=repr,
)
def test_without_a_valid_key_only_open_operations_answer(
    service: Service, headers: dict[str, Any]
) -> None:
    for operation in service.operations:
        status, _ = ask(service, operation, headers)
        # A wrong key is told even where none is needed.
        is_let_in = not operation.security and not headers
        assert (status != 401) == is_let_in, operation


def test_a_wrong_secret_of_a_real_key_opens_nothing(service: Service) -> None:
    key = service.keys[Scope.ADMIN, None]
    other = key[:-1] + ("A" if key[-1] != "A" else "B")
    response = service.client.get("/v1/models", headers={"X-API-Key": other})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer ")
    assert service.client.get("/v1/models", headers={"X-API-Key": key}).status_code == 200


def test_a_tenant_sees_its_own_models_and_those_of_nobody(service: Service) -> None:
    def see(tenant: str | None) -> list[str]:
        headers = {"X-API-Key": service.keys[Scope.PREDICT, tenant]}
        listed: list[str] = service.client.get("/v1/models", headers=headers).json()["models"]
        document = service.client.get("/openapi.json", headers=headers).json()
        assert (f"/v1/models/{MODEL}:predict" in document["paths"]) == (MODEL in listed)
        page = service.client.get("/", headers=headers).json()
        assert (MODEL in str(page)) == (MODEL in listed)
        return listed

    assert see(None) == see("ours") == [MODEL, "delay_class", "is_late"]
    assert see("theirs") == ["delay_class", "is_late"]
    assert MODEL not in service.client.get("/openapi.json").text
    assert MODEL not in service.client.get("/").text


def test_a_tenant_manages_only_what_is_its_own(service: Service) -> None:
    headers = {"X-API-Key": service.keys[Scope.MODELS_MANAGE, "ours"]}
    refused = service.client.put("/v1/models/is_late/labels/next", json={}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    moved = service.client.put(
        f"/v1/models/{MODEL}/labels/next", json={"version": 1, "actor": "me"}, headers=headers
    )
    assert moved.status_code == 200
    history = service.client.get(f"/v1/models/{MODEL}/history", headers=headers).json()
    assert history["changes"][0]["actor"] == f"test ({headers['X-API-Key'][:16]})"


def test_what_a_tenant_was_told_and_labels_stay_its_own(service: Service) -> None:
    def headers(scope: Scope, tenant: str) -> dict[str, str]:
        return {"X-API-Key": service.keys[scope, tenant]}

    client = service.client
    answer = client.post(
        f"/v1/models/{MODEL}:predict",
        json={"instances": [EXAMPLE]},
        headers=headers(Scope.PREDICT, "ours"),
    ).json()
    path = f"/v1/predictions/{answer['id']}"
    theirs = headers(Scope.PREDICTIONS_READ, "theirs")
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    ours = headers(Scope.PREDICTIONS_READ, "ours")
    while client.get(path, headers=ours).status_code != 200:  # Until it is written.
        assert datetime.now(UTC) < deadline
    for method, address in (("GET", path), ("POST", f"{path}:replay")):
        assert client.request(method, address, headers=ours).status_code == 200
        refused = client.request(method, address, headers=theirs)
        assert (refused.status_code, refused.json()["code"]) == (404, "unknown_prediction")
    label = {"value": 1.0, "observed_at": "2013-10-01T11:00:00Z"}
    key = {"carrier": "UA", "dest": "IAH", "origin": "EWR"}
    entity = {"entity_key": key, "time": "2013-10-01T11:00:00Z"}
    unknown = client.post(
        "/v1/feedback",
        json={"labels": [label | entity | {"model": "nobody_has_it"}]},
        headers=headers(Scope.FEEDBACK, "theirs"),
    )
    for about, expected in (
        ({"prediction_id": answer["id"]}, "one that is there"),
        (entity | {"model": MODEL}, unknown.json()["errors"][0]["expected"]),
    ):
        body = {"labels": [label | about]}
        refused = client.post("/v1/feedback", json=body, headers=headers(Scope.FEEDBACK, "theirs"))
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["expected"] == expected
        kept = client.post("/v1/feedback", json=body, headers=headers(Scope.FEEDBACK, "ours"))
        assert kept.status_code == 200
    address = f"/v1/feedback?prediction_id={answer['id']}"
    assert len(client.get(address, headers=headers(Scope.FEEDBACK, "ours")).json()["labels"]) == 1
    assert client.get(address, headers=headers(Scope.FEEDBACK, "theirs")).json()["labels"] == []


def test_tenants_choose_idempotency_keys_without_knowing_of_one_another(service: Service) -> None:
    given = {
        tenant: {
            "prediction_id": f"01a2286b-bc98-7a12-aa91-52325b35a93{number}",
            "value": 1.0,
            "observed_at": "2013-10-01T11:00:00Z",
            "idempotency_key": "order-1001",
        }
        for number, tenant in enumerate(("ours", "theirs"))
    }
    for tenant, label in given.items():
        for value, status in ((1.0, 200), (1.0, 200), (2.0, 409)):
            answer = service.client.post(
                "/v1/feedback",
                json={"labels": [label | {"value": value}]},
                headers={"X-API-Key": service.keys[Scope.FEEDBACK, tenant]},
            )
            assert answer.status_code == status
            told = answer.json()
            assert "order-1001" in (told["detail"] if status == 409 else str(told))


def test_a_route_without_a_scope_stops_the_start() -> None:
    async def planted() -> None:
        """Do something that nobody has thought about."""

    for router in (APIRouter(route_class=GuardedRoute), APIRouter()):
        router.get("/planted")(planted)
        inner = FastAPI(openapi_url=None)
        inner.include_router(router)
        with pytest.raises(RuntimeError, match=r"Got the route /planted"):
            require_declared(inner.routes, GuardedRoute, open_mounts=frozenset())
    mounted = FastAPI(openapi_url=None)
    mounted.mount("/other", FastAPI(openapi_url=None))
    with pytest.raises(RuntimeError, match="Got the route /other"):
        require_declared(mounted.routes, GuardedRoute, open_mounts=frozenset())
