"""The token of a link, sealed so that no server has to remember it.

It is kept short, for it is shown as a QR code: 76 characters at most.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from luxxon_core.http.principal import LinkPrincipal
from luxxon_core.kernel.errors import InvalidToken
from luxxon_core.media.domain import LiveInput
from luxxon_core.sessions.domain import TERMINAL, Session, Side
from luxxon_core.telemetry.domain import Reason

SEAL_BYTES = 16
"""128 bits: half of HMAC-SHA256's, the least that RFC 2104 §5 recommends to keep."""
_CONTEXT = b"luxxon link 1"
_HEAD = struct.Struct(">BI16s")
"""Kinds, expiry in Unix seconds, session; the maker follows."""
_OPERATOR, _WALLET = 1, 2
_TOKEN = re.compile(r"[A-Za-z0-9_-]{71}|[A-Za-z0-9_-]{76}")


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it is handed out; its URL is a secret."""

    url: str = field(repr=False)
    token: str = field(repr=False)
    side: Side
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """How a link's session stands.

    Attributes:
        lost: reasons why the present second is not charged.
        live_input: while there is one and the session is open.
        renewed: a link to go on with, when the present one is about to expire.
    """

    session: Session
    side: Side
    clean_seconds: int
    charged_uusdc: int
    lost: tuple[Reason, ...]
    expires_at: datetime
    renewed: Link | None = None

    @property
    def live_input(self) -> LiveInput | None:
        """Of a session that is sold as a unit it is its operator's alone."""
        hidden = self.session.terms.unit and self.side is Side.CONSUMER
        return None if hidden or self.session.state in TERMINAL else self.session.live_input


def link_keys(secrets: Sequence[bytes]) -> tuple[bytes, ...]:
    """Keys of links from those of cookies, so that neither seals for the other."""
    return tuple(hmac.digest(secret, _CONTEXT, "sha256") for secret in secrets)


def workspace_of(session: Session, side: Side) -> UUID | None:
    """Who stands on a side of the session."""
    return session.consumer_workspace_id if side is Side.CONSUMER else session.operator_workspace_id


def seal(principal: LinkPrincipal, key: bytes) -> str:
    """The token: what it says and the first half of its HMAC-SHA256, base64url unpadded."""
    maker = principal.maker
    by_wallet = isinstance(maker, str)
    kinds = _OPERATOR * (principal.side == Side.OPERATOR) + _WALLET * by_wallet
    head = _HEAD.pack(kinds, int(principal.expires_at.timestamp()), principal.session_id.bytes)
    body = head + (bytes.fromhex(maker[2:]) if isinstance(maker, str) else maker.bytes)
    return _text(body + _sealed(key, body))


def unseal(token: str, now: datetime, keys: Sequence[bytes]) -> LinkPrincipal:
    """Whose token it is, sealed with any of the keys. A wallet's address comes out in lower case.

    Raises:
        InvalidToken: forged, malformed or expired.
    """
    if not _TOKEN.fullmatch(token):
        raise InvalidToken
    try:
        whole = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise InvalidToken from None
    if _text(whole) != token:  # spare bits of the last character
        raise InvalidToken
    body, mark = whole[:-SEAL_BYTES], whole[-SEAL_BYTES:]
    if not any(hmac.compare_digest(mark, _sealed(key, body)) for key in keys):
        raise InvalidToken
    kinds, expires, session_id = _HEAD.unpack(body[: _HEAD.size])
    maker = body[_HEAD.size :]
    expires_at = datetime.fromtimestamp(expires, UTC)
    if expires_at <= now:
        raise InvalidToken
    return LinkPrincipal(
        UUID(bytes=session_id),
        Side.OPERATOR if kinds & _OPERATOR else Side.CONSUMER,
        f"0x{maker.hex()}" if kinds & _WALLET else UUID(bytes=maker),
        expires_at,
    )


def _text(whole: bytes) -> str:
    return base64.urlsafe_b64encode(whole).rstrip(b"=").decode()


def _sealed(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")[:SEAL_BYTES]
