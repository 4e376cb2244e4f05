"""Why an address does not answer, in words of the first start."""

from __future__ import annotations

from urllib.parse import urlsplit

from luxxon_core.kernel.errors import Unavailable

ANSWER_SECONDS = 6.0
LONGEST_HOST = 63
"""Characters of a host that are repeated."""


def unreached(url: str, error: BaseException) -> Unavailable:
    """Why nothing was heard from a server, as its client's error and what caused it tell."""
    import socket
    import ssl

    import httpx

    parts = urlsplit(url)
    host = parts.hostname or ""
    host = host if len(host) <= LONGEST_HOST else f"{host[:LONGEST_HOST]}…"
    place = f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    if any(isinstance(each, socket.gaierror) for each in chain):
        return Unavailable("server:name", f"There is no host {host}, as far as this machine knows")
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in chain):
        return Unavailable("server:certificate", f"The certificate of {place} is not to be trusted")
    if any(isinstance(each, ssl.SSLError) for each in chain):
        return Unavailable("server:scheme", f"{place} does not speak https")
    if any(isinstance(each, ConnectionRefusedError) for each in chain):
        return Unavailable("server:refused", f"Nothing listens at {place}")
    if any(isinstance(each, httpx.TimeoutException) for each in chain):
        return Unavailable("server:late", f"No answer from {place} within {ANSWER_SECONDS:.0f} s")
    return Unavailable("server:lost", f"No answer from {place}")
