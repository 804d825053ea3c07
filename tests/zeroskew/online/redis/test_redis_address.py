"""Addresses of Redis: what is understood, and what is refused without telling a secret."""

import ssl
import traceback
from pathlib import Path

import pytest

from tests.support.redis_servers import make_certificate
from zeroskew.online.redis.address import parse_redis_url
from zeroskew.online.schemes import open_store


def test_a_server() -> None:
    address = parse_redis_url("redis://store")
    assert (address.kind, address.servers, address.login) == ("server", (("store", 6379),), ())


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("redis://:p%40ss%2F@h:1/3", (("AUTH", "p@ss/"), ("SELECT", "3"))),
        ("redis://reader:secret@h:1", (("AUTH", "reader", "secret"),)),
        ("redis://h?db=2", (("SELECT", "2"),)),
        ("redis://reader:a@b@h", (("AUTH", "reader", "a@b"),)),
    ],
)
def test_the_login(url: str, login: tuple[tuple[str, ...], ...]) -> None:
    assert parse_redis_url(url).login == login


def test_a_socket() -> None:
    address = parse_redis_url("unix:///run/redis%20x.sock?db=4")
    assert (address.path, address.database) == ("/run/redis x.sock", 4)


def test_an_ipv6_host() -> None:
    assert parse_redis_url("redis://[::1]:7000/1").servers == (("::1", 7000),)


def test_sentinels_and_a_cluster() -> None:
    sentinels = parse_redis_url("redis+sentinel://u:p@a,b:7/main?db=1&sentinel_password=s")
    assert (sentinels.kind, sentinels.servers) == ("sentinel", (("a", 26379), ("b", 7)))
    assert (sentinels.master, sentinels.database) == ("main", 1)
    assert sentinels.sentinel_password == "s"  # noqa: S105 - made up
    cluster = parse_redis_url("redis+cluster://a:1,b:2?ssl=true")
    assert (cluster.kind, cluster.servers) == ("cluster", (("a", 1), ("b", 2)))
    assert cluster.tls is not None


def test_tls_verifies_name_and_certificate_unless_told_not_to(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    strict = parse_redis_url(
        f"rediss://h?ssl_ca_certs={certificate}&ssl_certfile={certificate}&ssl_keyfile={key}"
    ).tls
    assert strict is not None
    assert (strict.check_hostname, strict.verify_mode) == (True, ssl.CERT_REQUIRED)
    lax = parse_redis_url("rediss://h?ssl_cert_reqs=none").tls
    assert lax is not None
    assert lax.verify_mode == ssl.CERT_NONE


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://reader:hush@",
        "redis://reader:hush@h:port",
        "redis://reader:hush@h:0",
        "redis://reader:hush@h:65536",
        "redis://reader:hush@h/one",
        "redis://reader:hush@h,i",
        "redis://reader:hush@h/1?password=hush",
        "redis://reader:hush@h?db",
        "redis://hush@h",
        "rediss://:hush@h?ssl_ca_certs=/none/hush",
        "rediss://:hush@h?ssl_cert_reqs=optional",
        "unix://:hush@relative",
        "redis+cluster://:hush@h:1/3",
        "redis+cluster://:hush@h:1?ssl=maybe",
        "redis+cluster://:hush@h:1?ssl_cert_reqs=none",
        "redis+sentinel://:hush@h:1",
        "postgres://:hush@h",
        "sqlite:///",
    ],
)
def test_a_wrong_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"^Got .* ZEROSKEW_ONLINE_STORE, but expected ") as caught:
        open_store(url).open_reader(timeout_sec=None)
    assert "hush" not in "".join(traceback.format_exception_only(caught.value))


def test_an_address_hides_its_password() -> None:
    assert "hush" not in repr(parse_redis_url("redis://reader:hush@h"))
