"""``luxxon webhooks``: where events are sent to, what was sent, and sending it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from luxxon_core.commands.calling import json_option, say, tell, url_option, with_key, work

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from luxxon_core.client import Luxxon
    from luxxon_core.settings import ClientSettings
    from luxxon_core.webhooks.schemas import Delivery, Webhook

TEST_SECONDS = 75.0
"""Longer than a receiver may take; then it is no longer waited for how a test goes."""


@click.group()
def webhooks() -> None:
    """Have events sent to a URL. The key is in LUXXON_API_KEY and needs the scope webhooks:write."""


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    return json_option(url_option(command))


def _one(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument("webhook_id", type=click.UUID)(_common(command))


@webhooks.command("list")
@_common
def list_(as_json: bool, url: str | None) -> None:
    """List the webhooks, disabled ones too."""

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.commands.table import table
        from luxxon_core.kernel.wire import encode

        async with with_key(settings) as api:
            found = await api.webhooks.list()
        if as_json:
            click.echo(encode(list(found)))
            return
        rows = [(one.id, one.url, _state(one), " ".join(one.events)) for one in found]
        click.echo(table(("ID", "URL", "STATE", "EVENTS"), rows))

    work(url, todo)


@webhooks.command()
@click.argument("target", metavar="URL")
@click.option(
    "--event",
    "events",
    multiple=True,
    help="May be given more than once.  [default: all but telemetry.sample]",
)
@click.option("--description", default="")
@_common
def create(target: str, events: tuple[str, ...], description: str, as_json: bool, url: str | None) -> None:
    """Have events sent to URL and print the secret that signs them: it is shown this once."""

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.kernel.wire import encode

        async with with_key(settings) as api:
            made = await api.webhooks.create(target, events=events or None, description=description)
        if as_json:
            click.echo(encode(made))
            return
        say(made.secret)
        say(f"id {made.id}; the secret is not shown again", err=True)

    work(url, todo)


@webhooks.command()
@_one
def rotate(webhook_id: UUID, as_json: bool, url: str | None) -> None:
    """Give the webhook a new secret and print it; the old one signs beside it for a day."""

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.kernel.wire import encode

        async with with_key(settings) as api:
            made = await api.webhooks.rotate(webhook_id)
        if as_json:
            click.echo(encode(made))
            return
        say(made.secret)
        click.echo(
            f"the old secret signs as well until {made.former_secret_until:%Y-%m-%d %H:%M} UTC", err=True
        )

    work(url, todo)


def _switch(name: str, enabled: bool, help_: str) -> None:
    @webhooks.command(name, help=help_)
    @_one
    def switch(webhook_id: UUID, as_json: bool, url: str | None) -> None:
        async def todo(settings: ClientSettings) -> None:

            async with with_key(settings) as api:
                changed = await api.webhooks.update(webhook_id, enabled=enabled)
            tell(changed, f"{changed.url}: {_state(changed)}", as_json=as_json)

        work(url, todo)


_switch(
    "enable", True, "Take up a webhook that was disabled; what it missed comes with luxxon webhooks replay."
)
_switch("disable", False, "Send nothing any more; what is pending is given up.")


@webhooks.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@_one
def delete(webhook_id: UUID, yes: bool, as_json: bool, url: str | None) -> None:
    """Remove the webhook and the log of its deliveries."""
    if not yes:
        click.confirm(f"Delete {webhook_id}?", abort=True, err=True)

    async def todo(settings: ClientSettings) -> None:

        async with with_key(settings) as api:
            gone = await api.webhooks.delete(webhook_id)
        tell(gone, f"{gone.id}: deleted", as_json=as_json)

    work(url, todo)


@webhooks.command()
@_one
def test(webhook_id: UUID, as_json: bool, url: str | None) -> None:
    """Send webhook.test and say how it went; the exit code is 1 where it failed."""

    async def todo(settings: ClientSettings) -> int:

        async with with_key(settings) as api:
            delivery = await _finished(api, await api.webhooks.test(webhook_id))
        tell(delivery, f"{delivery.id}: {_outcome(delivery)}", as_json=as_json)
        return 0 if delivery.state == "SUCCEEDED" else 1

    work(url, todo)


@webhooks.command()
@click.option("--delivery", "delivery_id", type=click.UUID, help="This one, once more.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]),
    help="What was not delivered since then, UTC.",
)
@_one
def replay(
    webhook_id: UUID, delivery_id: UUID | None, since: datetime | None, as_json: bool, url: str | None
) -> None:
    """Send again: one delivery, or all that was not delivered since a time."""
    if (delivery_id is None) == (since is None):
        raise click.UsageError("Give --delivery or --since.")

    async def todo(settings: ClientSettings) -> None:
        from datetime import UTC

        from luxxon_core.kernel.wire import encode

        async with with_key(settings) as api:
            made = await api.webhooks.replay(
                webhook_id,
                delivery_id=delivery_id,
                since=None if since is None else since.replace(tzinfo=UTC),
            )
        if as_json:
            click.echo(encode(made))
            return
        rest = "" if made.complete else "; there is more: ask again"
        click.echo(f"{made.count} to be sent{rest}")

    work(url, todo)


@webhooks.command()
@click.option("--state", type=click.Choice(["PENDING", "SUCCEEDED", "FAILED"]))
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@_one
def deliveries(webhook_id: UUID, state: str | None, limit: int, as_json: bool, url: str | None) -> None:
    """List what was sent, newest first, and how it went."""

    async def todo(settings: ClientSettings) -> None:
        from luxxon_core.commands.table import table
        from luxxon_core.kernel.wire import encode

        found: list[Delivery] = []
        async with with_key(settings) as api:
            async for one in api.webhooks.iterate(webhook_id, state=state):
                found.append(one)
                if len(found) == limit:
                    break
        if as_json:
            click.echo(encode(found))
            return
        rows = [
            (one.id, f"{one.created_at:%Y-%m-%d %H:%M:%S}", one.type, str(len(one.attempts)), _outcome(one))
            for one in found
        ]
        click.echo(table(("ID", "MADE (UTC)", "TYPE", "ATTEMPTS", "OUTCOME"), rows, frozenset({3})))

    work(url, todo)


async def _finished(api: Luxxon, delivery: Delivery) -> Delivery:
    """The delivery when it is no longer pending, or as it is after a while."""
    import asyncio

    try:
        async with asyncio.timeout(TEST_SECONDS):
            while delivery.state == "PENDING":
                await asyncio.sleep(0.2)
                delivery = await api.webhooks.delivery(delivery.webhook_id, delivery.id)
    except TimeoutError:
        pass
    return delivery


def _state(webhook: Webhook) -> str:
    if not webhook.enabled:
        return f"disabled: {webhook.disabled_reason}"
    if webhook.failing_since is not None:
        return f"failing since {webhook.failing_since:%Y-%m-%d %H:%M} UTC"
    return "works" if webhook.last_success_at is not None else "nothing sent yet"


def _outcome(delivery: Delivery) -> str:
    last = delivery.attempts[-1] if delivery.attempts else None
    if delivery.state == "SUCCEEDED" and last is not None:
        return f"succeeded: HTTP {last.status} in {last.duration_milliseconds} ms"
    words = "pending" if delivery.state == "PENDING" else "failed"
    return f"{words}: {last.fault}" if last is not None and last.fault is not None else words
