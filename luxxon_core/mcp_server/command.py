"""``luxxon mcp``: the marketplace as tools for an agent."""

from __future__ import annotations

import click


@click.command()
@click.option(
    "--api-url",
    envvar="LUXXON_API_URL",
    help="The API, with /api/v1.  [default: LUXXON_API_URL, else that of LUXXON_URL]",
)
def mcp(api_url: str | None) -> None:
    """Serve an agent's host by the Model Context Protocol, on standard input and output.

    A host starts it itself: see docs/mcp.md. The key is in LUXXON_API_KEY; without one the tools are listed
    and do nothing. By HTTP a server offers the same at /mcp.
    """
    from luxxon_core.mcp_server.stdio import serve
    from luxxon_core.runner import run
    from luxxon_core.settings import load_client, revealed

    settings = load_client()
    run(serve(api_url or settings.url.rstrip("/") + "/api/v1", revealed(settings.api_key)))
