"""Tokens of an identity provider are checked against its keys, and nothing else."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from api.access.oidc_tokens import fetch_json
from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.settings import make_settings
from tests.support.whole_service import publish_every_kind
from zeroskew.contract.settings import Settings
from zeroskew.records.access.access_store import AccessStore

AUDIENCE = "zeroskew"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


class Provider:
    """An identity provider on this machine; it counts what it is asked."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.says_issuer: str | None = None
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                content = json.dumps(provider.answer(self.path)).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def answer(self, path: str) -> Mapping[str, Any]:
        if path == "/keys":
            return {"keys": self.keys}
        issuer = self.says_issuer or self.issuer
        return {"issuer": issuer, "jwks_uri": f"{self.issuer}/keys"}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def rsa_jwk(key: rsa.RSAPrivateKey, key_id: str) -> dict[str, Any]:
    found: dict[str, Any] = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return found | {"kid": key_id, "use": "sig"}


def ec_jwk(key: ec.EllipticCurvePrivateKey, key_id: str) -> dict[str, Any]:
    found: dict[str, Any] = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return found | {"kid": key_id, "alg": "ES256"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("oidc")
    publish_every_kind(folder)
    registry = AccessStore.open(f"sqlite:///{folder}/zeroskew.db")
    registry.set_tenant("is_late", "theirs")
    registry.close()
    return folder


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    provider.keys = [rsa_jwk(RSA_KEY, "one"), ec_jwk(EC_KEY, "two")]
    yield provider
    provider.close()


@pytest.fixture
def client(folder: Path, online_store: Path, provider: Provider) -> Iterator[AppClient]:
    settings = make_settings(
        folder,
        online_store,
        require_keys=True,
        oidc_issuer=provider.issuer,
        oidc_audience=AUDIENCE,
        oidc_tenant_claim="team",
    )
    with AppClient(create_app(settings)) as client:
        yield client


def make_token(
    provider: Provider,
    key: Any = RSA_KEY,
    key_id: str | None = "one",
    algorithm: str = "RS256",
    **changes: Any,
) -> str:
    now = int(time.time())
    claims = {
        "iss": provider.issuer,
        "aud": AUDIENCE,
        "sub": "ann@example.org",
        "iat": now,
        "exp": now + 300,
        "scope": "openid predict",
        "team": "ours",
    }
    kept = {name: value for name, value in (claims | changes).items() if value is not None}
    headers = {} if key_id is None else {"kid": key_id}
    return jwt.encode(kept, key, algorithm=algorithm, headers=headers)


def ask(client: AppClient, token: str, path: str = "/v1/models/arrival_delay") -> int:
    return client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code


def predict(client: AppClient, token: str) -> int:
    path = "/v1/models/arrival_delay:predict"
    headers = {"Authorization": f"Bearer {token}"}
    return client.post(path, headers=headers, json={}).status_code


def test_a_token_opens_what_its_scopes_and_tenant_say(
    client: AppClient, provider: Provider
) -> None:
    token = make_token(provider)
    assert ask(client, token) == 200
    assert predict(client, token) == 422
    assert ask(client, token, "/v1/models/is_late") == 404
    assert ask(client, token, "/v1/predictions/x") == 403
    listed = make_token(provider, scope=["predictions:read"])
    assert predict(client, listed) == 403
    assert ask(client, make_token(provider, EC_KEY, "two", "ES256")) == 200
    assert provider.asked == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "http://127.0.0.1:1"},
        {"aud": "another"},
        {"aud": None},
        {"sub": None},
        {"sub": 5},
        {"exp": None},
        {"exp": 1_000_000_000},
        {"exp": "4000000000"},
        {"nbf": 4_000_000_000},
        {"iat": None},
        {"team": None},
        {"team": ""},
        {"team": ["ours"]},
        {"team": "Ours!"},
        {"scope": 5},
        {"key": OTHER_RSA_KEY},
        {"key_id": None},
        {"key_id": "none_such"},
        {"key_id": "two"},
        {"key": EC_KEY, "algorithm": "ES256"},
        {"algorithm": "RS512"},
    ],
)
def test_a_token_that_is_wrong_in_one_thing_is_refused(
    client: AppClient, provider: Provider, changes: dict[str, Any]
) -> None:
    assert ask(client, make_token(provider, **changes)) == 401


def test_neither_no_signature_nor_the_public_key_as_a_secret_will_do(
    client: AppClient, provider: Provider
) -> None:
    head, body, signature = make_token(provider).split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"one"}').rstrip(b"=").decode()
    assert ask(client, f"{none}.{body}.") == 401
    assert ask(client, f"{head}.{body}.") == 401
    assert ask(client, f"{head}.{body}.{signature[:-4]}AAAA") == 401
    pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    symmetric = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').rstrip(b"=").decode()
    digest = hmac.digest(pem, f"{symmetric}.{body}".encode(), hashlib.sha256)
    forged = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert ask(client, f"{symmetric}.{body}.{forged}") == 401
    for odd in ("..", "a.b.c", "é.é.é", "x" * 9000, f"{head}.{body}.{'A' * 9000}"):
        headers = {"Authorization": f"Bearer {odd}".encode()}
        assert client.get("/v1/models", headers=headers).status_code == 401


def test_a_token_names_no_address_that_is_opened(client: AppClient, provider: Provider) -> None:
    token = jwt.encode(
        {"iss": provider.issuer, "aud": AUDIENCE},
        OTHER_RSA_KEY,
        algorithm="RS256",
        headers={
            "kid": "mine",
            "jku": f"{provider.issuer}/evil",
            "x5u": f"{provider.issuer}/evil",
            "jwk": rsa_jwk(OTHER_RSA_KEY, "mine"),
        },
    )
    for _ in range(20):
        assert ask(client, token) == 401
    # A key that is not known is asked for once in a while, not once a token.
    assert provider.asked.count("/keys") == 1
    assert "/evil" not in provider.asked


def test_a_new_key_of_the_provider_is_learnt(
    client: AppClient, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.access.oidc_tokens._UNKNOWN_KEY_SEC", 0.0)
    assert ask(client, make_token(provider)) == 200
    provider.keys = [rsa_jwk(OTHER_RSA_KEY, "three"), {"kid": "odd", "kty": "none"}]
    assert ask(client, make_token(provider, OTHER_RSA_KEY, "three")) == 200
    assert ask(client, make_token(provider)) == 401


def test_keys_go_on_while_the_provider_is_away(
    client: AppClient, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.access.oidc_tokens._UNKNOWN_KEY_SEC", 0.0)
    provider.says_issuer = "https://another.example"
    assert ask(client, make_token(provider, key_id="unknown")) == 401
    assert ask(client, make_token(provider)) == 200


@pytest.mark.parametrize("error", [HTTPException("garbage"), AttributeError("odd"), OSError()])
def test_keys_go_on_whatever_the_provider_answers(
    client: AppClient, provider: Provider, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("api.access.oidc_tokens._UNKNOWN_KEY_SEC", 0.0)

    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("api.access.oidc_tokens.OidcTokens._read_keys", fail)
    assert ask(client, make_token(provider, key_id="unknown")) == 401
    assert ask(client, make_token(provider)) == 200


def test_only_https_is_asked_for_keys() -> None:
    for url in ("http://idp.example/keys", "file:///etc/passwd", "ftp://127.0.0.1/keys"):
        with pytest.raises(ValueError, match="expected one with https"):
            fetch_json(url)


def test_half_a_provider_is_refused() -> None:
    for changes in (
        {"oidc_issuer": "https://idp.example", "require_keys": True},
        {"oidc_audience": "a", "require_keys": True},
        {"oidc_issuer": "https://idp.example", "oidc_audience": "a"},
    ):
        with pytest.raises(ValueError, match="ZEROSKEW_OIDC_ISSUER"):
            Settings.model_validate(changes)
