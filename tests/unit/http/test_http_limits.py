"""Rate limits: who is counted, how, and what is told."""

from __future__ import annotations

import re
from ipaddress import ip_network

import pytest
from frame_server import Desk, framed, refused, serving

from luxxon_core.http.limits import Clients, Quotas, Window

PROXIES = (ip_network("10.0.0.0/8"), ip_network("127.0.0.1/32"), ip_network("2001:db8::/32"))


def test_a_window_counts_to_its_quota_and_starts_anew() -> None:
    window = Window("key", 3, 60)
    assert [window.hit("a", 100.0 + n) for n in range(4)] == [2, 1, 0, -1]
    assert window.hit("b", 104.0) == 2
    assert window.full("a", 104.0)
    assert not window.full("b", 104.0)
    assert window.resets_in(104.0) == 56
    assert window.resets_in(159.99) == 1
    assert window.hit("a", 159.9) == -1
    assert window.hit("a", 160.0) == 2


def test_a_refused_hit_does_not_lengthen_the_wait() -> None:
    window = Window("key", 1, 60)
    for _ in range(1000):
        window.hit("a", 10.0)
    assert window.resets_in(10.0) == 60
    assert window.hit("a", 70.0) == 0


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # no proxy of ours: what it says is worth nothing
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # the first one is the client's invention
        ("10.0.0.1", ["198.51.100.1, 10.0.0.7, 10.0.0.8"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1", "10.0.0.7"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6, garbage, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["[2a00:1::5:6:7:8]:443"], "2a00:1::/64"),
        ("2a00:1::5:6:7:8", [], "2a00:1::/64"),
        ("::ffff:203.0.113.9", [], "203.0.113.9"),
        ("", ["1.2.3.4"], ""),
    ],
)
def test_the_client_is_the_first_whom_no_proxy_of_ours_is(peer: str, said: list[str], client: str) -> None:
    assert Clients(PROXIES).address(peer, said) == client


def test_rfc_7239_says_the_same_in_other_words() -> None:
    clients = Clients(PROXIES, "Forwarded")
    assert clients.address("10.0.0.1", ['for=6.6.6.6, for="198.51.100.1:80";proto=https']) == "198.51.100.1"
    assert clients.address("10.0.0.1", ['For="[2a00:1::1]:4711";by=10.0.0.1']) == "2a00:1::/64"
    assert clients.address("10.0.0.1", ["for=_hidden"]) == "10.0.0.1"
    assert clients.address("10.0.0.1", ["198.51.100.1"]) == "10.0.0.1"


STANDING = re.compile(r'"(\w+)";r=(\d+);t=(\d+)')


async def test_answers_tell_where_their_caller_stands() -> None:
    async with serving(framed(Desk(), quotas=Quotas(key=3, wallet=5, address=7))) as served:
        for left in (2, 1, 0):
            response = await served("GET", "/mine")
            assert response.headers["ratelimit-policy"] == '"key";q=3;w=60'
            found = STANDING.fullmatch(response.headers["ratelimit"])
            assert found
            assert (found[1], int(found[2])) == ("key", left)
            assert 1 <= int(found[3]) <= 60
        response = await served("GET", "/mine")
        assert refused(response) == (429, "RATE_LIMITED", "rate:key")
        assert 1 <= int(response.headers["retry-after"]) <= 60
        assert response.headers["ratelimit"].startswith('"key";r=0;')
        assert (await served("GET", "/mine", bearer="good-two")).status_code == 200
        response = await served("GET", "/mine", bearer=None, headers={"Cookie": "lx_session=good-wallet"})
        assert response.headers["ratelimit"].startswith('"wallet";r=4;')
        response = await served("GET", "/look")
        assert response.headers["ratelimit-policy"] == '"address";q=7;w=60'


async def test_an_error_tells_it_too_and_no_quota_nothing() -> None:
    async with serving(framed(Desk(), quotas=Quotas(address=0))) as served:
        assert "ratelimit" not in (await served("GET", "/look")).headers
    async with serving(framed(Desk())) as served:
        assert (await served("GET", "/crash")).headers["ratelimit-policy"] == '"address";q=6000;w=60'


async def test_guessing_is_slowed() -> None:
    """Good credentials too are not looked at then: else the right guess would stand out."""
    async with serving(framed(Desk(), quotas=Quotas(failures=3))) as served:
        for _ in range(3):
            assert refused(await served("GET", "/mine", bearer="bad"))[0] == 401
        for bearer in ("bad", "good-one"):
            response = await served("GET", "/mine", bearer=bearer)
            assert refused(response) == (429, "RATE_LIMITED", "rate:failures")
            assert int(response.headers["retry-after"]) >= 1
        response = await served("POST", "/proof", json={"text": "the proof"})
        assert refused(response)[2] == "rate:failures"
        assert (await served("GET", "/look")).status_code == 200


async def test_a_proof_that_fails_counts_and_no_credential_does_not() -> None:
    async with serving(framed(Desk(), quotas=Quotas(failures=2))) as served:
        for _ in range(5):
            assert refused(await served("GET", "/mine", bearer=None))[0] == 401
        assert (await served("POST", "/proof", json={"text": "the proof"})).status_code == 200
        for _ in range(2):
            assert refused(await served("POST", "/proof", json={"text": "x"}))[0] == 401
        assert refused(await served("POST", "/proof", json={"text": "the proof"}))[2] == "rate:failures"


async def test_clients_behind_our_proxy_are_told_apart() -> None:
    app = framed(Desk(), quotas=Quotas(address=1), clients=Clients(PROXIES))
    async with serving(app) as served:
        for client in ("198.51.100.1", "198.51.100.2"):
            headers = {"X-Forwarded-For": client}
            assert (await served("GET", "/look", headers=headers)).status_code == 200
            assert (await served("GET", "/look", headers=headers)).status_code == 429
    async with serving(framed(Desk(), quotas=Quotas(address=1))) as served:
        assert (await served("GET", "/look", headers={"X-Forwarded-For": "198.51.100.1"})).status_code == 200
        assert (await served("GET", "/look", headers={"X-Forwarded-For": "198.51.100.2"})).status_code == 429
