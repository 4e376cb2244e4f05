"""Readiness and figures of the whole server, and request ids on every kind of answer."""

from __future__ import annotations

import pytest
from api_wire import Place, Tenant, Wire
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def figures(wire: Wire) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    response = await wire("GET", f"{wire.server.url}/metrics")
    assert response.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def test_a_running_server_is_ready(wire: Wire) -> None:
    for base in (wire.server.url, wire.server.api_url):
        ready = await wire.data("GET", f"{base}/ready")
        assert ready == {
            "ready": True,
            "checks": {"database": True, "chain": True, "authorization": True, "edge": True},
        }


async def test_figures_tell_what_the_marketplace_does(wire: Wire, consumer: Tenant, place: Place) -> None:
    session = await wire.create(consumer, place)
    assert (await wire.refused("POST", f"/sessions/{session['id']}/dispatch", auth=consumer))[0] == 503
    found = await figures(wire)
    names = {name for name, _ in found}
    assert {
        "luxxon_http_request_duration_seconds_bucket",
        "luxxon_http_requests_in_flight",
        "luxxon_sessions_open",
        "luxxon_settlements_unconfirmed",
        "luxxon_settlement_oldest_unconfirmed_seconds",
        "luxxon_database_connections",
        "luxxon_database_connections_max",
        "luxxon_chain_node_usable",
        "luxxon_edge_live_inputs",
        "luxxon_edge_datagrams_received_total",
        "luxxon_event_loop_lag_seconds_bucket",
        "luxxon_webhook_deliveries_pending",
        "luxxon_webhook_oldest_pending_seconds",
        "luxxon_webhook_courier_up",
        "luxxon_webhook_courier_ends_total",
        "luxxon_webhook_under_way",
        "process_cpu_seconds_total",
    } <= names
    assert found["luxxon_dispatches_total", frozenset({("outcome", "NO_COVERAGE")})] >= 1
    assert found["luxxon_sessions_open", frozenset({("state", "REQUESTED")})] >= 1
    node = frozenset({("node", "0"), ("host", "127.0.0.1")})
    assert found["luxxon_chain_node_usable", node] == 1
    assert found["luxxon_chain_node_head", node] >= 1
    outcomes = {dict(labels)["outcome"] for name, labels in found if name == "luxxon_webhook_attempts_total"}
    assert outcomes == {"2xx", "3xx", "4xx", "5xx", "none"}
    assert not [labels for _, labels in found if session["id"] in str(labels)]


async def test_figures_are_not_for_clients_of_a_proxy(wire: Wire) -> None:
    headers = {"X-Forwarded-For": "198.51.100.1"}
    assert await wire.refused("GET", f"{wire.server.url}/metrics", headers=headers) == (
        404,
        "NOT_FOUND",
        None,
    )


async def test_every_kind_of_answer_has_a_request_id(wire: Wire, consumer: Tenant, place: Place) -> None:
    _, started = await wire.started(consumer, place)
    session_id = started["session"]["id"]
    for method, path, auth in (
        ("GET", "/health", {}),
        ("GET", f"/sessions/{session_id}", consumer.as_key()),
        ("GET", f"/sessions/{session_id}/frame", consumer.as_key()),
        ("GET", "/sessions", {}),
        ("GET", "/nothing", {}),
        ("POST", started["whepUrl"], {}),
    ):
        response = await wire(method, path, auth=auth, headers={"X-Request-Id": "mine.1"})
        assert response.headers["x-request-id"] == "mine.1", path
