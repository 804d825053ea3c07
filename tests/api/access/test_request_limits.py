"""Requests are counted by key, over all replicas, and by a policy where they cannot be."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from api.access.allowances import Allowances, AllowanceStore, Grant, LocalAllowances
from api.access.caller import Caller
from api.access.redis_allowances import RedisAllowances
from api.access.request_limits import RequestLimits
from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.feast_service import run_service
from tests.support.redis_servers import RedisServer
from tests.support.settings import make_settings
from tests.support.waiting import PATIENCE_SEC, wait_until
from tests.support.whole_service import publish_every_kind
from zeroskew.contract.errors.access import LimitsUnavailableError, RateLimitedError
from zeroskew.contract.scope import Scope
from zeroskew.records.access.access_store import AccessStore

STORES = ("local", "redis")


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=STORES)
def open_store(
    request: pytest.FixtureRequest, redis_server: RedisServer
) -> Callable[[], AllowanceStore]:
    if request.param == "local":
        return LocalAllowances
    redis_server.call("FLUSHALL")
    return lambda: RedisAllowances(redis_server.url, timeout_sec=PATIENCE_SEC)


def caller(name: str, per_sec: float | None = None, per_day: int | None = None) -> Caller:
    return Caller(name, name, frozenset(Scope), requests_per_sec=per_sec, requests_per_day=per_day)


def test_a_bucket_gives_a_burst_and_then_its_rate(
    open_store: Callable[[], AllowanceStore],
) -> None:
    async def take() -> None:
        store = open_store()
        bound = Allowances(20.0, None)
        begin = time.monotonic()
        first = await store.take("a", bound, 15)
        assert (first.n_granted, first.left_now, first.left_today) == (15, 5, None)
        n_granted = 0
        while (refused := await store.take("a", bound, 15)).n_granted:
            n_granted += refused.n_granted
        assert 5 <= n_granted <= 5 + 20 * (time.monotonic() - begin)
        assert refused.refused_by == "second"
        assert 0 < refused.retry_sec <= 0.05
        assert (await store.take("b", bound, 15)).n_granted == 15
        await asyncio.sleep(refused.retry_sec)
        assert (await store.take("a", bound, 15)).n_granted >= 1
        await store.close()

    asyncio.run(take())


def test_less_than_one_a_second_is_one_now_and_then(
    open_store: Callable[[], AllowanceStore],
) -> None:
    async def take() -> None:
        store = open_store()
        assert (await store.take("a", Allowances(0.001, None), 5)).n_granted == 1
        refused = await store.take("a", Allowances(0.001, None), 5)
        assert refused.n_granted == 0
        assert 1000 - PATIENCE_SEC < refused.retry_sec <= 1000
        await store.close()

    asyncio.run(take())


def test_a_day_is_used_up(open_store: Callable[[], AllowanceStore]) -> None:
    async def take() -> None:
        store = open_store()
        bound = Allowances(1000.0, 7)
        assert (await store.take("a", bound, 5)).left_today == 2
        assert (await store.take("a", bound, 5)).n_granted == 2
        refused = await store.take("a", bound, 5)
        assert (refused.n_granted, refused.left_today, refused.refused_by) == (0, 0, "day")
        assert 0 < refused.retry_sec <= 86_400
        assert (await store.take("b", Allowances(None, 7), 9)).n_granted == 7
        await store.close()

    asyncio.run(take())


def test_a_new_day_begins_at_midnight_and_a_clock_set_back_takes_nothing() -> None:
    now = 1_000_000 * 86_400.0 - 10
    store = LocalAllowances(now=lambda: now)
    bound = Allowances(2.0, 3)
    assert store.take_now("a", bound, 9).n_granted == 2
    now -= 3600
    assert store.take_now("a", bound, 9).retry_sec == 0.5
    now += 3600.5
    assert store.take_now("a", bound, 9).n_granted == 1
    now += 5
    assert store.take_now("a", bound, 9).refused_by == "day"
    now += 5
    assert store.take_now("a", bound, 9).n_granted == 2


@pytest.mark.parametrize("days_ahead", [1, 2, 30, 365, 36_500, -1, -365])
def test_a_clock_that_was_wrong_once_leaves_every_right_day_its_own(days_ahead: int) -> None:
    async def use() -> None:
        right = 20_000 * 86_400.0
        now = right + days_ahead * 86_400
        limits = RequestLimits(LocalAllowances(now=lambda: now), now=lambda: now)
        one = caller("a", per_day=3)
        for moment in (now, right, right + 86_400, right + 2 * 86_400):
            now = moment
            for _ in range(3):
                await limits.admit(one)
            with pytest.raises(RateLimitedError):
                await limits.admit(one)

    asyncio.run(use())


def test_a_share_is_a_part_of_both_limits() -> None:
    store = LocalAllowances(share=0.25, now=lambda: 0.0)
    assert store.take_now("a", Allowances(20.0, None), 99).n_granted == 5
    assert store.take_now("b", Allowances(None, 20), 99).n_granted == 5
    assert store.take_now("c", Allowances(None, 1), 99).n_granted == 1


class ScriptedStore:
    """Is away until it is told otherwise."""

    def __init__(self) -> None:
        self.is_away = True
        self.n_taken = 0

    async def take(self, caller_id: str, allowances: Allowances, n_wanted: int) -> Grant:  # noqa: ARG002 - as the others have it
        if self.is_away:
            raise LimitsUnavailableError("away") from OSError()
        self.n_taken += n_wanted
        return Grant(n_wanted, None, 1000)

    async def close(self) -> None:
        """Close nothing."""


def open_limits(store: AllowanceStore, share: float = 1.0) -> RequestLimits:
    return RequestLimits(store, default=Allowances(None, None), when_down="local", share=share)


def test_what_one_process_refuses_is_asked_again_when_the_store_is_back() -> None:
    async def use(store: ScriptedStore) -> None:
        limits, one = open_limits(store, share=0.25), caller("a", per_day=8)
        for _ in range(2):
            await limits.admit(one)
        with pytest.raises(RateLimitedError) as refused:
            await limits.admit(one)
        assert refused.value.headers["Retry-After"] == "1"
        store.is_away = False
        await asyncio.sleep(1.2)
        await limits.admit(one)

    asyncio.run(use(ScriptedStore()))


def test_of_a_day_nothing_is_thrown_away() -> None:
    async def use(store: ScriptedStore) -> None:
        store.is_away = False
        limits, one = open_limits(store), caller("a", per_day=1000)
        for _ in range(2):
            await asyncio.gather(*[limits.admit(one) for _ in range(7)])
            await asyncio.sleep(1.1)
        n_left = store.n_taken - 14
        for _ in range(n_left):
            await limits.admit(one)
        assert store.n_taken == 14 + n_left

    asyncio.run(use(ScriptedStore()))


def test_the_answer_says_what_is_left_and_a_refusal_when_to_come_again(
    tmp_path: Path, online_store: Path
) -> None:
    publish_every_kind(tmp_path)
    settings = make_settings(tmp_path, online_store, require_keys=True, requests_per_day=1000)
    registry = AccessStore.open(settings.database_url)
    limited = registry.create_key("limited", [Scope.PREDICT], requests_per_sec=3).text
    other = registry.create_key("other", [Scope.PREDICT]).text
    registry.close()
    with AppClient(create_app(settings)) as client:

        def ask(key: str) -> httpx.Response:
            return client.get("/v1/models", headers={"Authorization": f"Bearer {key}"})

        answer = ask(limited)
        assert answer.headers["RateLimit-Policy"] == '"second";q=3;w=1, "day";q=1000;w=86400'
        assert re.fullmatch(r'"second";r=2;t=1, "day";r=999;t=\d+', answer.headers["RateLimit"])
        while answer.status_code == 200:
            answer = ask(limited)
        assert answer.status_code == 429
        assert answer.json()["code"] == "rate_limited"
        assert answer.json()["detail"] == "Got more requests than this key's 3 requests a second."
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["RateLimit"].startswith('"second";r=0;t=1')
        assert ask(other).status_code == 200
        assert "RateLimit" not in client.get("/healthz").headers
        wait_until(lambda: ask(limited).status_code == 200)


@pytest.mark.parametrize("policy", ["local", "refuse", "allow"])
def test_while_redis_is_down_the_policy_holds(tmp_path: Path, policy: str) -> None:
    async def count(limits: RequestLimits, *, is_limited: bool = True) -> int:
        n_admitted, begin = 0, time.monotonic()
        for _ in range(50):
            try:
                await limits.admit(caller("a", per_sec=20))
            except RateLimitedError:
                continue
            n_admitted += 1
        most = 20 + 20 * (time.monotonic() - begin) if is_limited else 50
        assert min(20, most) <= n_admitted <= most
        return n_admitted

    async def admit(server: RedisServer) -> None:
        store = RedisAllowances(server.url, timeout_sec=PATIENCE_SEC)
        limits = RequestLimits(store, when_down=policy)  # type: ignore[arg-type]  # one of the three
        await count(limits)
        server.kill()
        await asyncio.sleep(1.1)
        if policy == "refuse":
            with pytest.raises(LimitsUnavailableError):
                await count(limits)
        else:
            n_admitted = await count(limits, is_limited=policy != "allow")
            assert policy != "allow" or n_admitted == 50
        assert limits.is_store_down
        server.start()
        await asyncio.sleep(1.1)
        await count(limits)
        assert not limits.is_store_down
        await limits.close()

    with RedisServer(tmp_path / "redis") as server:
        asyncio.run(admit(server))


def test_one_key_has_its_limit_over_two_replicas(
    tmp_path: Path, online_store: Path, redis_server: RedisServer
) -> None:
    publish_every_kind(tmp_path)
    registry = AccessStore.open(f"sqlite:///{tmp_path}/zeroskew.db")
    rate, n_refused = 10, 60
    limited = registry.create_key("limited", [Scope.PREDICT], requests_per_sec=rate).text
    other = registry.create_key("other", [Scope.PREDICT]).text
    registry.close()
    settings = {
        "ZEROSKEW_REQUIRE_KEYS": "true",
        "ZEROSKEW_RATE_LIMIT_STORE": redis_server.url,
    }

    begin = 0.0
    statuses: list[int] = []

    def is_enough() -> bool:
        # The bucket was emptied and filled several times, by however fast a machine.
        return statuses.count(200) >= 4 * rate and statuses.count(429) >= n_refused

    def press(url: str, key: str, statuses: list[int]) -> None:
        with httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=PATIENCE_SEC) as client:
            while not is_enough() and time.monotonic() < begin + PATIENCE_SEC:
                statuses.append(client.get("/v1/models").status_code)

    store = f"sqlite:///{online_store}"
    with (
        run_service(tmp_path, store, **settings) as first,
        run_service(tmp_path, store, **settings) as second,
        ThreadPoolExecutor(3) as threads,
    ):
        begin = time.monotonic()
        unharmed: list[int] = []
        pressed = [threads.submit(press, url, limited, statuses) for url in (first, second)]
        pressed.append(threads.submit(press, second, other, unharmed))
        for one in pressed:
            one.result()
        elapsed = time.monotonic() - begin
    assert set(statuses) == {200, 429}
    # What was saved up before, and what the time gave: two that count alone give twice as much.
    allowed = rate + rate * elapsed
    assert 0.5 * allowed <= statuses.count(200) <= allowed
    assert set(unharmed) == {200}
