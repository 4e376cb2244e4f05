"""Back-off, verdicts, signatures and targets of webhooks."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier

from luxxon_core.adapters.sealing import AesSealer
from luxxon_core.events.domain import Kind
from luxxon_core.kernel.errors import InvalidInput
from luxxon_core.webhooks.domain import (
    Answer,
    Cause,
    Health,
    Job,
    Policy,
    State,
    Target,
    Verdict,
    allowed_address,
    back_off,
    checked_kinds,
    checked_url,
    judge,
    retry_after,
    signature,
    written_secret,
)

NOON = datetime(2026, 5, 13, 12, tzinfo=UTC)
ONE = UUID(int=1)
PUBLIC = Target()
chances = st.floats(0, 1)
statuses = st.sampled_from([None, 301, 307, 400, 404, 408, 410, 429, 500, 503])


def job(
    *, tried: int = 0, made: datetime = NOON, cause: Cause = Cause.EVENT, failing: datetime | None = None
) -> Job:
    health = Health(failing, NOON if failing else None)
    return Job(1, ONE, NOON, ONE, ONE, ONE, cause, "{}", made, tried, "https://a.example", b"", None, health)


def failed(status: int | None = 500, asked: datetime | None = None) -> Answer:
    return Answer(status, "it failed", 5, asked)


# -- back-off ---------------------------------------------------------------------------------------------


@given(st.integers(1, 200), chances)
def test_back_off_doubles_within_its_bounds(failures: int, chance: float) -> None:
    policy = Policy()
    whole = min(policy.first_retry * float(2 ** min(failures - 1, 30)), policy.longest_retry)
    assert whole / 2 <= back_off(policy, failures, chance) <= whole


@given(
    st.lists(chances, min_size=40, max_size=40),
    st.lists(statuses.filter(lambda one: one != 410), min_size=40),
)
def test_a_receiver_that_fails_is_tried_for_24_hours_and_not_for_longer(
    dice: list[float], answers: list[int | None]
) -> None:
    policy, now, tried = Policy(disable_after=timedelta(days=9)), NOON, 0
    while True:
        chance, status = dice[tried % len(dice)], answers[tried % len(answers)]
        verdict = judge(job(tried=tried), failed(status), now, policy, chance)
        tried += 1
        if verdict.state is State.FAILED:
            break
        assert verdict.state is State.PENDING
        assert verdict.next_at is not None
        assert verdict.next_at > now
        now = verdict.next_at
    assert now == NOON + policy.give_up
    assert 25 < tried < 70


@given(st.floats(0, 200_000), st.integers(0, 60), chances)
def test_a_late_first_attempt_is_still_made_and_is_the_last(late: float, tried: int, chance: float) -> None:
    now = NOON + timedelta(hours=24, seconds=late)
    assert judge(job(tried=tried), failed(), now, Policy(), chance) == Verdict(State.FAILED)


@given(st.integers(0, 90_000), st.sampled_from([429, 503, 500]), st.integers(0, 20), chances)
def test_nothing_is_sent_before_the_receiver_asks_for_it(
    seconds: int, status: int, tried: int, chance: float
) -> None:
    asked = NOON + timedelta(seconds=seconds)
    verdict = judge(job(tried=tried), failed(status, asked), NOON, Policy(), chance)
    last = NOON + timedelta(hours=24)
    assert verdict.next_at is not None
    assert verdict.next_at >= min(asked, last)
    if status != 500 and seconds:
        assert verdict.hold_until == min(asked, last)
    else:
        assert verdict.hold_until is None


# -- verdicts ---------------------------------------------------------------------------------------------


@given(st.integers(0, 50), st.integers(0, 200), chances)
def test_a_success_is_final_whenever_it_comes(tried: int, hours: int, chance: float) -> None:
    now = NOON + timedelta(hours=hours)
    verdict = judge(job(tried=tried, failing=NOON), Answer(204, None, 5), now, Policy(), chance)
    assert verdict == Verdict(State.SUCCEEDED)


def test_gone_disables_at_once() -> None:
    verdict = judge(job(), failed(410), NOON, Policy(), 0.5)
    assert (verdict.state, verdict.disable) == (State.FAILED, "the receiver answered 410 Gone")


def test_a_receiver_that_is_not_tried_does_not_fail() -> None:
    """It was down for a day, then nothing happened for a week: the next failure is no ninth day of them."""
    day, hour = timedelta(days=1), timedelta(hours=1)
    down = Health(NOON, NOON + day)
    assert down.failing_for(NOON + day) == day
    assert down.failing_for(NOON + day + hour) == day + hour
    assert down.failing_for(NOON + 8 * day) == day + hour
    again = Health(NOON, NOON + 9 * day, untried=7 * day - hour)
    assert again.failing_for(NOON + 9 * day) == 2 * day + hour
    assert Health().failing_for(NOON) == timedelta()
    for health, disabled in ((down, False), (again, False), (replace(again, untried=5 * day), True)):
        verdict = judge(replace(job(), health=health), failed(), NOON + 10 * day, Policy(), 0.5)
        assert (verdict.disable is not None) is disabled


@pytest.mark.parametrize(("hours", "disabled"), [(71, False), (72, True), (500, True)])
def test_long_failure_disables(hours: int, disabled: bool) -> None:
    failing = job(failing=NOON - timedelta(hours=hours))
    verdict = judge(failing, failed(), NOON, Policy(), 0.5)
    assert (verdict.disable is not None) is disabled


@given(statuses)
def test_a_test_is_made_once_and_says_nothing_of_the_receivers_health(status: int | None) -> None:
    long = NOON - timedelta(days=9)
    verdict = judge(job(cause=Cause.TEST, failing=long), failed(status), NOON, Policy(), 0.5)
    assert verdict == Verdict(State.FAILED, counts=False)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("Wed, 13 May 2026 12:00:30 GMT", 30),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("9" * 40, None),
        ("Wed, 13 May 99999999999999999999 12:00:30 GMT", None),
        ("Wed, 13 May 2026 99999999999999999999:00:30 GMT", None),
        ("Wed, 13 May 2026 12:00:30 +99999999999999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 -2300", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: int | None) -> None:
    expected = None if seconds is None else NOON + timedelta(seconds=seconds)
    assert retry_after(value, NOON) == expected


@given(st.text(max_size=60))
def test_no_retry_after_is_too_strange(value: str) -> None:
    found = retry_after(value, NOON)
    assert found is None or found.tzinfo is not None


def test_events_are_checked_and_samples_are_told_to_who_asks() -> None:
    assert set(checked_kinds(None)) == set(Kind) - {Kind.TELEMETRY_SAMPLE}
    assert checked_kinds(["telemetry.sample", "telemetry.sample"]) == ("telemetry.sample",)
    for wrong in ([], ["*"], ["session.state", "nothing"], ["webhook.test"]):
        with pytest.raises(InvalidInput):
            checked_kinds(wrong)


# -- signatures -------------------------------------------------------------------------------------------


@given(st.binary(min_size=24, max_size=64), st.binary(min_size=24, max_size=64), st.text())
def test_each_secret_verifies_the_signature_of_both(first: bytes, second: bytes, text: str) -> None:
    body, now = text.encode("utf-8", "replace"), int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": "msg",
        "webhook-timestamp": str(now),
        "webhook-signature": signature([first, second], "msg", now, body),
    }
    for secret in (first, second):
        verifier = Verifier(written_secret(secret))
        expected = verifier.sign("msg", datetime.fromtimestamp(now, UTC), body.decode())
        assert expected in headers["webhook-signature"].split()


def test_the_specifications_own_example() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = signature([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(min_size=1, max_size=64))
def test_sealed_secrets_open_with_any_known_key_for_their_own_webhook_alone(secret: bytes) -> None:
    old, new = b"o" * 32, b"n" * 32
    sealed = AesSealer([old]).seal(secret, ONE)
    assert AesSealer([new, old]).open(sealed, ONE) == secret
    assert AesSealer([new]).open(sealed, ONE) is None
    assert AesSealer([old]).open(sealed, UUID(int=2)) is None
    assert len(secret) < 8 or secret not in sealed


# -- targets ----------------------------------------------------------------------------------------------

INSIDE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.8.8.8",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "nonsense",
]


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_are_refused(address: str) -> None:
    assert not allowed_address(address, PUBLIC)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "2606:4700::1111"])
def test_public_addresses_are_not(address: str) -> None:
    assert allowed_address(address, PUBLIC)


@given(st.integers(0, 2**128 - 1))
def test_what_is_not_global_is_never_dialled(number: int) -> None:
    address = ip_address(number)
    if allowed_address(str(address), PUBLIC):
        assert address.is_global
        assert not address.is_private


def test_named_networks_are_allowed_and_no_others() -> None:
    target = Target((ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
    assert allowed_address("10.1.2.3", target)
    assert allowed_address("fd00::1", target)
    assert not allowed_address("192.168.0.1", target)
    assert not allowed_address("::ffff:10.1.2.3", target)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example",
        "https://hooks.example/path?query=1",
        "https://hooks.example:443/",
        "https://hooks.example:8443/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "https://xn--bcher-kva.example/",
    ],
)
def test_urls_that_are_taken(url: str) -> None:
    assert checked_url(url, PUBLIC) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example",
        "http://hooks.example",
        "ftp://hooks.example",
        "file:///etc/passwd",
        "gopher://hooks.example",
        "https://",
        "https:///path",
        "https://user:secret@hooks.example",
        "https://hooks.example@10.0.0.1",
        "https://hooks.example/#fragment",
        "https://hooks.example:22/",
        "https://hooks.example:25/",
        "https://hooks.example:0/",
        "https://hooks.example:99999/",
        "https://hooks.example:port/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://hooks.example\\@10.0.0.1/",
        "https://hooks.example/a b",
        "https://hooks.example/\n",
        "https://hooks.example/é",
        "https://[fe80::1%25eth0]/",
        "https://-/",
        "https://" + "a" * 3000,
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        checked_url(url, PUBLIC)
    assert refusal.value.detail == "webhook:url"


def test_plain_http_where_it_is_allowed() -> None:
    target = Target((ip_network("127.0.0.0/8"),), plain=True)
    assert checked_url("http://127.0.0.1:9000/hook", target)
    with pytest.raises(InvalidInput):
        checked_url("http://10.0.0.1/hook", target)


@given(st.text(max_size=80))
def test_no_url_is_too_strange(text: str) -> None:
    for url in (text, "https://" + text):
        try:
            assert checked_url(url, PUBLIC).startswith("https://")
        except InvalidInput as refusal:
            assert refusal.detail == "webhook:url"
