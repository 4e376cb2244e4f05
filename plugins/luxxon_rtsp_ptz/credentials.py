"""HTTP authentication as RTSP uses it: Digest (RFC 7616, RFC 2617) and Basic (RFC 7617)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_PARAMETER = re.compile(r'([a-zA-Z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_HASHES: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),  # what cameras speak
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
}


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Challenge:
    scheme: str
    parameters: dict[str, str]

    @property
    def stale(self) -> bool:
        return self.parameters.get("stale", "").lower() == "true"


def parse_challenge(header: str) -> Challenge:
    """One WWW-Authenticate header."""
    scheme, _, rest = header.strip().partition(" ")
    parameters = {
        match[1].lower(): match[3] or re.sub(r"\\(.)", r"\1", match[2] or "")
        for match in _PARAMETER.finditer(rest)
    }
    return Challenge(scheme.lower(), parameters)


class Authorization:
    """Answers a challenge for one request after another."""

    def __init__(self, challenge: Challenge, credentials: Credentials) -> None:
        self._challenge, self._credentials = challenge, credentials
        self._count = 0

    @classmethod
    def choose(cls, headers: Sequence[str], credentials: Credentials) -> Authorization | None:
        """The strongest that the camera offers and we speak; None if there is none."""
        best: tuple[int, Challenge] | None = None
        for challenge in map(parse_challenge, headers):
            strength = _strength(challenge)
            if strength and (best is None or strength > best[0]):
                best = strength, challenge
        return cls(best[1], credentials) if best else None

    def header(self, method: str, uri: str) -> str:
        name, secret = self._credentials.username, self._credentials.password
        if self._challenge.scheme == "basic":
            return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()
        asked = self._challenge.parameters
        algorithm = asked.get("algorithm", "MD5").upper()
        digest = _HASHES[algorithm]
        realm, nonce = asked.get("realm", ""), asked.get("nonce", "")
        first = digest(f"{name}:{realm}:{secret}".encode())
        second = digest(f"{method}:{uri}".encode())
        fields = [("username", name), ("realm", realm), ("nonce", nonce), ("uri", uri)]
        bare = ""
        if "auth" in re.split(r"\s*,\s*", asked.get("qop", "")):
            self._count += 1
            count, own = f"{self._count:08x}", secrets.token_hex(8)
            response = digest(f"{first}:{nonce}:{count}:{own}:auth:{second}".encode())
            fields.append(("cnonce", own))
            bare = f", qop=auth, nc={count}"
        else:
            response = digest(f"{first}:{nonce}:{second}".encode())
        fields.append(("response", response))
        if "opaque" in asked:
            fields.append(("opaque", asked["opaque"]))
        if "algorithm" in asked:
            bare += f", algorithm={algorithm}"
        quoted = ", ".join(f'{key}="{_escaped(value)}"' for key, value in fields)
        return f"Digest {quoted}{bare}"


def _strength(challenge: Challenge) -> int:
    if challenge.scheme == "basic":
        return 1
    algorithm = challenge.parameters.get("algorithm", "MD5").upper()
    if challenge.scheme != "digest" or algorithm not in _HASHES:
        return 0
    return 3 if algorithm == "SHA-256" else 2


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
