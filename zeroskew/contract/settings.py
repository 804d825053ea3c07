"""What can be set from outside: environment variables with the prefix ``ZEROSKEW_``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from zeroskew.contract.database_url import locate_database
from zeroskew.contract.log_policy import LogPolicy

__all__ = ["Settings"]

_MIB: Final = 1024 * 1024
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def _to_utc(instant: Literal["system"] | datetime) -> Literal["system"] | datetime:
    if instant == "system":
        return instant
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("Got an instant outside the years 1 to 9999 in UTC.") from error


def _check_database_url(url: str) -> str:
    locate_database(url)
    return url


def _split_at_commas(given: object) -> object:
    if not isinstance(given, str):
        return given
    return [part.strip() for part in given.split(",") if part.strip()]


def _read_json(given: object) -> object:
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError as error:
        raise ValueError("Input should be an object in JSON") from error


_Host = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9._-]+|[0-9A-Fa-f:.]+)$", to_lower=True)
]
_Origin = Annotated[
    str,
    StringConstraints(pattern=r"^(\*|https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?)$"),
]


def _read_place(given: object) -> object:
    return given if isinstance(given, str) and "://" in given else Path(str(given))


_Place = Annotated[Path | str, BeforeValidator(_read_place)]
_HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")]
_RedisUrl = Annotated[str, StringConstraints(pattern=r"^(rediss?|unix)://.+$")]
_PublicKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_PublicKeys = Annotated[tuple[_PublicKey, ...], NoDecode, BeforeValidator(_split_at_commas)]
_Hosts = Annotated[tuple[_Host, ...], NoDecode, BeforeValidator(_split_at_commas)]
_Origins = Annotated[tuple[_Origin, ...], NoDecode, BeforeValidator(_split_at_commas)]
_LogPolicies = Annotated[dict[str, LogPolicy], NoDecode, BeforeValidator(_read_json)]


class Settings(BaseSettings):
    """The service's settings with their defaults for one machine."""

    model_config = SettingsConfigDict(env_prefix="ZEROSKEW_", frozen=True)

    host: str = Field("127.0.0.1", description="The address to listen on.")
    require_keys: bool | None = Field(
        None,
        description="Whether callers need an API key; if not set, where the service does not "
        "listen on this machine alone. There it cannot do without.",
    )
    oidc_issuer: str | None = Field(
        None,
        description="The identity provider (OpenID Connect) whose bearer tokens are taken beside "
        "API keys, as its tokens name it.",
    )
    oidc_audience: str | None = Field(
        None, description="What those tokens must name as their audience."
    )
    oidc_scope_claim: str = Field(
        "scope", description="The claim with a token's scopes, a list or a text with spaces."
    )
    oidc_tenant_claim: str | None = Field(
        None,
        description="The claim with a token's tenant; where set, a token without is refused, and "
        "else tokens reach the models of all.",
    )
    requests_per_sec: PositiveFloat | None = Field(
        None, le=1e6, description="How many requests a second a key without its own limit may make."
    )
    requests_per_day: PositiveInt | None = Field(
        None, description="How many requests a day, in UTC, a key without its own may make."
    )
    rate_limit_store: _RedisUrl | None = Field(
        None,
        description="The Redis (`redis://`, `rediss://`, `unix://`) that counts requests for all "
        "replicas; if not set, each process counts alone, and lets its share through.",
    )
    rate_limit_timeout_sec: PositiveFloat = Field(
        0.1, description="How long a count of requests waits for Redis."
    )
    rate_limit_when_down: Literal["local", "refuse", "allow"] = Field(
        "local",
        description="What happens while that Redis is away: each process counts alone, nobody is "
        "let through, or everybody.",
    )
    port: int = Field(8000, ge=0, le=65535, description="The port; 0 takes a free one.")
    workers: PositiveInt = Field(
        1, description="How many processes serve, each with one event loop and its own models."
    )
    database_url: Annotated[str, AfterValidator(_check_database_url)] = Field(
        "sqlite:///var/zeroskew.db",
        description="The database of registry, prediction log and labels, as SQLAlchemy URL.",
    )
    artifacts_dir: _Place = Field(
        Path("var/artifacts"),
        description="The folder of model files and manifests, or an object store that fsspec "
        "knows, such as `s3://bucket/models`.",
    )
    artifacts_cache_dir: Path = Field(
        Path("var/artifacts_cache"),
        description="Where files of an object store are kept once they were read.",
    )
    trusted_keys: _PublicKeys = Field(
        (),
        description="Ed25519 public keys in hexadecimal digits, with commas between them; where "
        "there are some, a version that none of them signed is refused.",
    )
    online_store: str = Field(
        "sqlite:///var/feast/online.db",
        description="Feast's online store: `sqlite:///`, `redis://`, `rediss://`, `unix://`, "
        "`redis+cluster://`, `redis+sentinel://`, or `feast:///<feature_store.yaml>`.",
    )
    clock: Annotated[Literal["system"] | AwareDatetime, AfterValidator(_to_utc)] = Field(
        "system", description="`system`, or a fixed RFC 3339 instant to look features up for."
    )
    clock_file: Path | None = Field(
        None,
        description="A file that another process keeps, and that says what time it is instead of "
        "the clock; `zeroskew simulate` moves time this way.",
    )
    cors_origins: _Origins = Field(
        (),
        description="Origins whose pages may call the service from a browser, such as "
        "`https://app.example`, with commas between them; `*` is any.",
    )
    allowed_hosts: _Hosts = Field(
        (),
        description="Names and addresses, without port and with commas between them, by which "
        "callers may call the service. Where it asks for no keys, those of this machine "
        "(`localhost`, `127.0.0.1`) are among them and nothing else is; where it does, any, if "
        "not set.",
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="Lines for a reader, or one JSON object a line."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The lowest level that is logged."
    )

    traces_endpoint: _HttpUrl | None = Field(
        None,
        description="Where spans go over OTLP, such as `http://collector:4318/v1/traces`; needs "
        "the extra `otel`.",
    )
    traces_sampling: float = Field(
        1.0, ge=0, le=1, description="The share of requests with spans, where the caller is silent."
    )
    metrics_dir: Path | None = Field(
        None,
        description="Where several workers tell one another what they count; if not set, a "
        "temporary folder.",
    )

    max_body_bytes: PositiveInt = Field(_MIB, description="A larger body is refused.")
    body_timeout_sec: PositiveFloat = Field(5.0, description="A slower body is refused.")
    max_requests: PositiveInt = Field(
        128,
        description="How many requests a process answers at a time; more get 429. While it is "
        "late it answers fewer.",
    )
    max_lag_sec: PositiveFloat = Field(
        0.25, description="How late the event loop may be before fewer requests are answered."
    )
    max_connections: PositiveInt = Field(
        10_000, description="How many connections a process keeps; more get 429."
    )
    request_timeout_sec: PositiveFloat = Field(
        2.0, description="How long a prediction may take once its body is there; then 503."
    )
    max_instances: PositiveInt = Field(1000, description="How many instances a request may have.")
    max_cells: PositiveInt = Field(
        1_000_000,
        description="How many values of stored features a request may need: instances times "
        "features.",
    )
    max_text_length: PositiveInt = Field(256, description="How long a text in an instance may be.")
    max_model_bytes: PositiveInt = Field(512 * _MIB, description="A larger model is refused.")
    max_model_memory_bytes: PositiveInt = Field(
        256 * _MIB,
        description="How much memory loaded versions may take, by estimate, before the least "
        "recently used makes room; what no alias and no rollout names goes first.",
    )
    registry_poll_sec: PositiveFloat = Field(
        0.5, description="How often a process looks whether the registry has changed."
    )
    allow_registry_changes: bool | None = Field(
        None,
        description="Whether aliases, rollouts and versions may be changed over HTTP; if not set, "
        "where the service asks for keys or listens on this machine alone.",
    )
    registry_timeout_sec: PositiveFloat = Field(
        1.0, description="How long a read of the registry waits for a publisher."
    )
    online_store_timeout_sec: PositiveFloat | None = Field(
        None,
        description="How long a read of features may take: 0.05 for Redis, 1 for SQLite, which "
        "waits for its writers, and for a store behind Feast's SDK, if not set.",
    )
    online_write_timeout_sec: PositiveFloat = Field(
        2.0, description="How long a write of pushed features may take."
    )
    shadow_max_share: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Which share of the time a shadow may take in a process; answers beyond that "
        "have none.",
    )
    log_mode: Literal["buffered", "durable", "off"] = Field(
        "buffered",
        description="How predictions are logged: soon after the answer, before it, or not at all.",
    )
    log_sampling: float = Field(1.0, ge=0, le=1, description="The share that is logged.")
    log_models: _LogPolicies = Field(
        {},
        description='Models\' own ways, as JSON: `{"fraud": {"mode": "durable", "sampling": 1, '
        '"fields": ["amount"], "hashed_fields": ["customer"], "inputs": false}}`; see privacy.md.',
    )
    log_hash_key: str | None = Field(
        None,
        min_length=32,
        repr=False,
        description="The secret with which fields are hashed; whoever has it can find them out.",
    )
    log_flush_sec: PositiveFloat = Field(
        0.2, description="How long a logged prediction may wait for others to be written with."
    )
    log_buffer_rows: PositiveInt = Field(
        20_000, description="How many predicted rows may wait to be written."
    )
    log_timeout_sec: PositiveFloat = Field(
        2.0, description="How long a write of the log waits for the database."
    )
    log_spool_dir: Path = Field(
        Path("var/spool"), description="Where the log waits while the database is away."
    )
    log_spool_max_bytes: PositiveInt = Field(
        256 * _MIB, description="How large that may become; what is beyond is dropped, and counted."
    )
    feedback_timeout_sec: PositiveFloat = Field(
        5.0,
        description="How long a write of labels or pushed rows waits for the database; then 503.",
    )
    feast_project: str | None = Field(
        None,
        description="The Feast project that `/feast` serves; if not set, the only one published.",
    )
    feast_refresh_sec: PositiveFloat = Field(
        5.0,
        description="How long `/feast` answers from the feature catalog it has after the registry "
        "or a newer catalog could not be read. Otherwise each request is answered from the newest.",
    )
    feast_max_rows: PositiveInt = Field(
        1000, description="How many rows a request under `/feast` may read."
    )
    feast_max_cells: PositiveInt = Field(
        20_000, description="How many values a request under `/feast` may read."
    )
    feast_max_write_rows: PositiveInt = Field(
        20_000, description="How many rows a request under `/feast` may write."
    )
    feast_max_write_cells: PositiveInt = Field(
        400_000, description="How many values a request under `/feast` may write."
    )
    feast_max_write_bytes: PositiveInt = Field(
        8 * _MIB, description="A larger body of a write under `/feast` is refused."
    )
    shutdown_grace_sec: PositiveInt = Field(
        10, description="How long requests may take to finish once the service is told to stop."
    )

    @property
    def lets_registry_change(self) -> bool:
        """Whether aliases, rollouts and versions may be changed over HTTP."""
        if self.allow_registry_changes is not None:
            return self.allow_registry_changes
        return self.host in _LOOPBACK or self.asks_for_keys

    @property
    def asks_for_keys(self) -> bool:
        """Whether callers need an API key."""
        if self.require_keys is not None:
            return self.require_keys
        return self.host not in _LOOPBACK

    @property
    def answers_any_host(self) -> bool:
        """Whether a request may name any host: a page that made its name ours has no key."""
        return self.asks_for_keys and not self.allowed_hosts

    @property
    def log_policy(self) -> LogPolicy:
        """How predictions of models without a policy of their own are logged."""
        return LogPolicy(mode=self.log_mode, sampling=self.log_sampling)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        for is_contradiction, reason in (
            (
                not self.asks_for_keys and self.host not in _LOOPBACK,
                f"Got ZEROSKEW_REQUIRE_KEYS=false and ZEROSKEW_HOST={self.host}, but expected keys "
                "wherever others than this machine can come.",
            ),
            (
                (self.oidc_issuer is None) != (self.oidc_audience is None),
                "Got one of ZEROSKEW_OIDC_ISSUER and ZEROSKEW_OIDC_AUDIENCE, but expected both or "
                "neither.",
            ),
            (
                self.oidc_issuer is not None and not self.asks_for_keys,
                "Got ZEROSKEW_OIDC_ISSUER where nobody is asked for a key or token.",
            ),
            (
                self.log_hash_key is None
                and any(policy.hashed_fields for policy in self.log_models.values()),
                "Got hashed_fields in ZEROSKEW_LOG_MODELS without ZEROSKEW_LOG_HASH_KEY.",
            ),
            (
                self.clock_file is not None and self.clock != "system",
                "Got ZEROSKEW_CLOCK and ZEROSKEW_CLOCK_FILE, but expected one clock.",
            ),
            (
                self.request_timeout_sec > self.shutdown_grace_sec,
                f"Got ZEROSKEW_REQUEST_TIMEOUT_SEC={self.request_timeout_sec:g} and "
                f"ZEROSKEW_SHUTDOWN_GRACE_SEC={self.shutdown_grace_sec}, but expected the grace "
                "to be as long as a request may take.",
            ),
        ):
            if is_contradiction:
                raise ValueError(reason)
        return self
