"""Hundreds of bad requests, as bytes: what a careless or hostile client may send to any address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["Poison", "poison_bodies", "poison_paths"]

JSON: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Poison:
    """A request, and the statuses that are a right answer to it."""

    name: str
    path: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))
    method: str = "POST"
    statuses: tuple[int, ...] = (400, 404, 413, 415, 422)
    length: int | None = None
    """What ``Content-Length`` says, where that is not the body's."""

    def to_bytes(self) -> bytes:
        """Return the request as it goes over the wire."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        body = self.body or b""
        if self.body is not None and "Transfer-Encoding" not in self.headers:
            lines.append(f"Content-Length: {len(body) if self.length is None else self.length}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def poison_bodies(path: str, good: dict[str, Any]) -> Iterator[Poison]:
    """Yield what is wrong with a body, whatever the address; `good` is one that is answered."""
    text = json.dumps(good)
    whole = text.encode()
    number = _first(good, lambda value: type(value) in (int, float))
    string = _first(good, lambda value: isinstance(value, str))
    bodies = {
        "nothing": b"",
        "a space": b" ",
        "null": b"null",
        "a number": b"1",
        "a text": b'"x"',
        "a list": b"[]",
        "an empty object": b"{}",
        "NUL": b"\0",
        "random bytes": bytes(range(256)),
        "not JSON": b"{instances: [1]}",
        "single quotes": text.replace('"', "'").encode(),
        "a comment": b"/* x */" + whole,
        "a trailing comma": whole[:-1] + b",}",
        "two documents": whole + whole,
        "something behind": whole + b"x",
        "cut by one": whole[:-1],
        "cut in half": whole[: len(whole) // 2],
        "a byte order mark": b"\xef\xbb\xbf" + whole,
        "UTF-16": text.encode("utf-16"),
        "UTF-32": text.encode("utf-32"),
        "Latin-1": whole.replace(string, "\xfc\xe9".encode("latin-1"), 1),
        "overlong UTF-8": whole.replace(string, b"\xc0\xaf", 1),
        "a UTF-8 surrogate": whole.replace(string, b"\xed\xa0\x80", 1),
        "a lone surrogate": whole.replace(string, rb"\ud800", 1),
        "NUL in a text": whole.replace(string, rb"\u0000", 1),
        "a raw NUL in a text": whole.replace(string, b"\0", 1),
        "a raw newline in a text": whole.replace(string, b"\n", 1),
        "a bad escape": whole.replace(string, rb"\x41", 1),
        "a very long text": whole.replace(string, b"x" * 100_000, 1),
        "an unknown member": b'{"poison": 1, ' + whole[1:],
        "a member twice": whole[:-1] + b", " + whole[1:],
        "a member twice, escaped": whole[:-1] + b", " + _escape_name(good),
        "deep lists": b"[" * 100_000,
        "deep objects": b'{"a":' * 50_000,
        "deep and closed": b'{"instances": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        "many members": ("{" + ",".join(f'"m{i}": 1' for i in range(20_000)) + "}").encode(),
        "too large": b" " * 3_000_000,
        "a long number": _replace(whole, number, b"9" * 50_000),
    }
    for name, value in _NUMBERS.items():
        bodies[f"{name} for a number"] = _replace(whole, number, value)
        bodies[f"{name} for a text"] = whole.replace(b'"' + string + b'"', value, 1)
    for name, body in bodies.items():
        if body != whole:
            yield Poison(f"{path}: {name}", path, body)
    yield from _poison_headers(path, whole)


_NUMBERS: Final = {
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "-Infinity": b"-Infinity",
    "1e999": b"1e999",
    "-1e999": b"-1e999",
    "2^70": b"1180591620717411303424",
    "-2^70": b"-1180591620717411303424",
    "an object": b'{"a": 1}',
    "a list": b"[[1]]",
    "hexadecimal": b"0x10",
    "a leading zero": b"01",
    "a plus": b"+1",
}


def _poison_headers(path: str, whole: bytes) -> Iterator[Poison]:
    kinds = {
        "text/plain": "text/plain",
        "a form": "application/x-www-form-urlencoded",
        "multipart": "multipart/form-data; boundary=x",
        "XML": "application/xml",
        "another charset": "application/json; charset=utf-16",
        "an unknown charset": "application/json; charset=klingon",
        "no kind at all": ";;;",
        "a long kind": "application/" + "x" * 5_000,
    }
    for name, kind in kinds.items():
        yield Poison(f"{path}: declared as {name}", path, whole, {"Content-Type": kind})
    for encoding in ("gzip", "br", "deflate", "x-unknown"):
        headers = {**JSON, "Content-Encoding": encoding}
        yield Poison(f"{path}: encoded as {encoding}", path, whole, headers)
    chunked = {**JSON, "Transfer-Encoding": "chunked"}
    yield Poison(f"{path}: chunks that are none", path, b"zz\r\n", chunked)
    yield Poison(f"{path}: a huge chunk", path, b"7fffffffffffffff\r\nx", chunked, statuses=_LATE)
    yield Poison(f"{path}: a negative length", path, whole, length=-1)
    yield Poison(f"{path}: a length of 2^70", path, whole, length=1 << 70)
    yield Poison(f"{path}: a length beyond the limit", path, whole, length=1 << 40)
    yield Poison(f"{path}: a length that never comes", path, whole, length=999, statuses=(408,))


_LATE: Final = (400, 408, 413)


def poison_paths() -> Iterator[Poison]:
    """Yield tricks with addresses: names that are paths, encodings, methods, long ones."""
    names = [
        "..",
        "../..",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e%2f%2e%2e",
        "%00",
        "%ff",
        "%ed%a0%80",
        "a%0ab",
        "a%0d%0aX-Evil:1",
        "..;/x",
        "a/../b",
        "%252e%252e",
        "a\\b",
        "con",
        "'",
        "1 OR 1=1",
        "a;drop table models",
        "<script>",
        "{model}",
        "$(id)",
        "x" * 5_000,
        "\xfc",
        "-1",
        "a" * 64,
    ]
    for name in names:
        for shape in ("/v1/models/{}:predict", "/v2/models/{}/infer"):
            yield Poison(f"predict {name[:20]!r}", shape.format(name), b"{}", statuses=_NO_ADDRESS)
        for shape in ("/v1/models/{}", "/v1/models/arrival_delay/versions/{}", "/v2/models/{}"):
            yield Poison(
                f"show {name[:20]!r}",
                shape.format(name),
                headers={},
                method="GET",
                statuses=(200, *_NO_ADDRESS) if name in ("..", "../..") else _NO_ADDRESS,
            )
    for version in (
        "0",
        "-1",
        "1.5",
        "1e3",
        "99999999999999999999",
        "\u0661",
        "champion",
        "%31%20",
    ):
        path = f"/v1/models/arrival_delay/versions/{version}:predict"
        yield Poison(f"version {version!r}", _quote(path), b"{}", statuses=_NO_ADDRESS)
    for method in ("GET", "PUT", "DELETE", "PATCH", "TRACE", "BREW"):
        yield Poison(
            f"{method} a prediction",
            "/v1/models/arrival_delay:predict",
            headers={},
            method=method,
            statuses=(400, 404, 405),
        )


_NO_ADDRESS: Final = (400, 404, 405, 422)


def _quote(path: str) -> str:
    return path.encode().decode("latin-1")


def _first(value: Any, matches: Any) -> bytes:
    """Return the first matching value of a document as JSON, without quotation marks."""
    found = next(_walk(value, matches))
    return json.dumps(found).strip('"').encode()


def _walk(value: Any, matches: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _walk(member, matches)
    elif matches(value):
        yield value


def _replace(whole: bytes, number: bytes, by: bytes) -> bytes:
    """Replace a number where it is a value of its own."""
    for before, after in ((b": ", b","), (b": ", b"}"), (b"[", b"]"), (b"[", b","), (b" ", b"]")):
        found = before + number + after
        if found in whole:
            return whole.replace(found, before + by + after, 1)
    raise AssertionError((whole, number))


def _escape_name(good: dict[str, Any]) -> bytes:
    """Return the members of a document again, the first name written with an escape."""
    name = next(iter(good))
    text = json.dumps(good)[1:]
    return text.replace(f'"{name}"', f'"\\u{ord(name[0]):04x}{name[1:]}"', 1).encode()
