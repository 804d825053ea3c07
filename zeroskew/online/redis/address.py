"""The address of a Redis online store, read from one setting."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, unquote

__all__ = ["TLS_OPTIONS", "RedisAddress", "parse_redis_url"]

_SETTING: Final = "ZEROSKEW_ONLINE_STORE"
_DEFAULT_PORT: Final = 6379
_DEFAULT_SENTINEL_PORT: Final = 26379
_LAST_PORT: Final = 65_535
TLS_OPTIONS: Final = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"}
"""What an address may say of TLS; Feast and redis-py call it likewise."""

_OPTIONS: Final[Mapping[str, set[str]]] = {
    "redis": {"db"},
    "rediss": {"db", *TLS_OPTIONS},
    "unix": {"db"},
    "redis+cluster": {"ssl", *TLS_OPTIONS},
    "redis+sentinel": {
        "db",
        "ssl",
        "sentinel_username",
        "sentinel_password",
        *TLS_OPTIONS,
    },
}
_FORMS: Final = {
    "redis": "redis://[user:password@]host[:port][/db]",
    "rediss": "rediss://[user:password@]host[:port][/db][?ssl_ca_certs=…&ssl_certfile=…&ssl_keyfile=…]",
    "unix": "unix://[user:password@]/path[?db=0]",
    "redis+cluster": "redis+cluster://[user:password@]host:port,host:port[?ssl=true]",
    "redis+sentinel": "redis+sentinel://[user:password@]host:port,host:port/master[?db=0]",
}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis online store is, and how to be let in.

    ``servers`` are the server, or the first nodes of a cluster, or the sentinels; ``path`` is
    a unix socket instead. ``master`` is the name that the sentinels know the server by.
    ``tls_options`` are what `tls` was made of.
    """

    kind: Literal["server", "cluster", "sentinel"]
    servers: tuple[tuple[str, int], ...] = ()
    path: str | None = None
    username: str | None = None
    password: str | None = None
    database: int = 0
    master: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    tls: ssl.SSLContext | None = None
    tls_options: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"RedisAddress(kind={self.kind!r})"

    @property
    def login(self) -> tuple[tuple[str, ...], ...]:
        """The commands that a connection begins with."""
        commands: list[tuple[str, ...]] = []
        if self.password is not None:
            user = () if self.username is None else (self.username,)
            commands.append(("AUTH", *user, self.password))
        if self.database:
            commands.append(("SELECT", str(self.database)))
        return tuple(commands)

    @property
    def client_tls(self) -> dict[str, Any]:
        """What redis-py's clients of a cluster and of sentinels are told of TLS."""
        return {} if self.tls is None else {"ssl": True, **self.tls_options}


def parse_redis_url(url: str) -> RedisAddress:
    """Return the address that a URL names.

    Parameters
    ----------
    url
        One of ``redis://``, ``rediss://``, ``unix://``, ``redis+cluster://`` and
        ``redis+sentinel://``. User, password and options are percent-encoded.

    Raises
    ------
    ValueError
        If `url` is not such an address, or a certificate cannot be read. The message names the
        setting and shows no part of the URL that may be secret.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in _OPTIONS:
        raise ValueError(f"Got an unknown kind of address in {_SETTING}, but expected Redis's.")
    rest, _, query = rest.partition("?")
    options = _parse_options(scheme, query)
    credentials, _, place = rest.rpartition("@")
    username, password = _parse_credentials(scheme, credentials)
    tls = _make_tls(scheme, options)
    tls_options = {name: options[name] for name in TLS_OPTIONS & options.keys()}
    if scheme == "unix":
        if not place.startswith("/") or place == "/":
            raise _refused(scheme, "no path of a socket")
        database = _parse_number(scheme, options.get("db", "0"), "database")
        return RedisAddress("server", (), unquote(place), username, password, database)
    hosts, _, path = place.partition("/")
    servers = _parse_servers(scheme, hosts)
    if scheme == "redis+sentinel":
        if not path:
            raise _refused(scheme, "no name of a master")
        return RedisAddress(
            kind="sentinel",
            servers=servers,
            username=username,
            password=password,
            database=_parse_number(scheme, options.get("db", "0"), "database"),
            master=unquote(path),
            sentinel_username=options.get("sentinel_username"),
            sentinel_password=options.get("sentinel_password"),
            tls=tls,
            tls_options=tls_options,
        )
    if scheme == "redis+cluster":
        if path:
            raise _refused(scheme, "a database number")
        return RedisAddress(
            "cluster", servers, None, username, password, tls=tls, tls_options=tls_options
        )
    if len(servers) != 1:
        raise _refused(scheme, "more than one host")
    database = _parse_number(scheme, path or options.get("db", "0"), "database")
    return RedisAddress(
        "server", servers, None, username, password, database, tls=tls, tls_options=tls_options
    )


def _refused(scheme: str, what: str) -> ValueError:
    return ValueError(f"Got {what} in {_SETTING}, but expected {_FORMS[scheme]}.")


def _parse_options(scheme: str, query: str) -> dict[str, str]:
    try:
        options = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise _refused(scheme, "an option without a value") from None
    known = _OPTIONS[scheme]
    for name, _ in options:
        if name not in known:
            raise _refused(scheme, f"an option that is not one of {', '.join(sorted(known))}")
    return dict(options)


def _parse_credentials(scheme: str, credentials: str) -> tuple[str | None, str | None]:
    if not credentials:
        return None, None
    username, colon, password = credentials.partition(":")
    if not colon or not password:
        raise _refused(scheme, "a user without a password")
    return unquote(username) or None, unquote(password)


def _parse_servers(scheme: str, hosts: str) -> tuple[tuple[str, int], ...]:
    default_port = _DEFAULT_SENTINEL_PORT if scheme == "redis+sentinel" else _DEFAULT_PORT
    servers = []
    for server in hosts.split(","):
        host, bracket, rest = server.removeprefix("[").partition("]")
        if bracket:
            port = rest.removeprefix(":")
        else:
            host, _, port = server.partition(":")
        if not host:
            raise _refused(scheme, "no host")
        number = _parse_number(scheme, port, "port") if port else default_port
        if not 0 < number <= _LAST_PORT:
            raise _refused(scheme, "a port that is not a number from 1 to 65535")
        servers.append((host, number))
    return tuple(servers)


def _parse_number(scheme: str, text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        raise _refused(scheme, f"a {what} that is not a number")
    return int(text)


def _make_tls(scheme: str, options: Mapping[str, str]) -> ssl.SSLContext | None:
    """Return what TLS verifies: by default the server's name and a certificate known here."""
    wanted = "true" if scheme == "rediss" else options.get("ssl", "false")
    if wanted not in {"true", "false"}:
        raise _refused(scheme, "an option ssl that is neither true nor false")
    if wanted == "false":
        if TLS_OPTIONS & options.keys():
            raise _refused(scheme, "options of TLS without ssl=true")
        return None
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:
        raise _refused(scheme, "a certificate or key that cannot be read") from error
    verification = options.get("ssl_cert_reqs", "required")
    if verification == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif verification != "required":
        raise _refused(scheme, "an option ssl_cert_reqs that is neither required nor none")
    return context
