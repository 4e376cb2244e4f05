"""Every endpoint of the product: the one list that is mounted and that the documents describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from luxxon_core import __version__
from luxxon_core.http.operation import Operation

if TYPE_CHECKING:
    from luxxon_core.bootstrap import Cases
    from luxxon_core.http.schemas import Config, Health
    from luxxon_core.http.system import Readiness


def operations(
    cases: Cases, config: Config, health: Health, readiness: Readiness, public_url: str
) -> list[Operation]:
    """What is mounted: the described rows, the files of the page that shows them, the page for phones."""
    from luxxon_core.http.documents import viewer_files
    from luxxon_core.links import routes as links

    rows = _described(cases, config, health, readiness, public_url)
    return [*rows, viewer_files(), *links.page_operations(cases.links)]


def described() -> list[Operation]:
    """The described rows of a marketplace that is not running: none of them can be called."""
    nothing = cast("Any", _Unwired())
    return _described(nothing, nothing, nothing, nothing, "")


def _described(
    cases: Cases, config: Config, health: Health, readiness: Readiness, public_url: str
) -> list[Operation]:
    """The rows of all slices, and those of the documents about them."""
    from luxxon_core.access import routes as access
    from luxxon_core.controls import routes as controls
    from luxxon_core.dispatch import routes as dispatch
    from luxxon_core.events import routes as events
    from luxxon_core.http import documents, system
    from luxxon_core.links import routes as links
    from luxxon_core.observations import routes as observations
    from luxxon_core.pricing import routes as pricing
    from luxxon_core.sessions import routes as sessions
    from luxxon_core.settlement import routes as settlement
    from luxxon_core.telemetry import routes as telemetry
    from luxxon_core.wallet import routes as wallet
    from luxxon_core.webhooks import routes as webhooks
    from luxxon_core.workspaces import routes as workspaces

    rows = [
        *system.operations(config, health, readiness),
        *access.operations(cases.access),
        *access.member_operations(cases.memberships),
        *workspaces.operations(cases.workspaces),
        *telemetry.operations(cases.telemetry),
        *telemetry.beacon_operations(cases.beacons),
        *telemetry.video_operations(cases.video),
        *wallet.operations(cases.wallets, cases.deposits),
        *pricing.operations(cases.pricing, cases.demand),
        *dispatch.operations(cases.dispatch),
        *settlement.operations(cases.receipts),
        *sessions.operations(cases.sessions),
        *observations.operations(cases.observations, cases.receipts, public_url),
        *links.operations(cases.links),
        *controls.operations(cases.controls),
        *events.operations(cases.streams, cases.sessions),
        *webhooks.operations(cases.webhooks),
    ]
    return [*rows, *documents.operations(rows, version=__version__, public_url=public_url)]


class _Unwired:
    """Stands where use cases would: rows hold on to them until they are called."""

    def __getattr__(self, name: str) -> _Unwired:
        return self
