"""``luxxon wallet faucet``: test money of a marketplace with an embedded chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from luxxon_core.commands.calling import file_option, json_option, url_option, without_key, work

if TYPE_CHECKING:
    from pathlib import Path

    from luxxon_core.settings import ClientSettings

DEVELOPMENT = 31337
"""Chain id of an embedded chain."""
TEST_WEI, TEST_USDC = 10**18, 100_000_000


@click.command()
@json_option
@url_option
@file_option
def faucet(path: Path | None, as_json: bool, url: str | None) -> None:
    """Have 100 USDC and 1 ETH put into the wallet, where the server has a chain of its own for testing."""

    async def todo(settings: ClientSettings) -> None:
        import json

        from luxxon_core.client.keystore import address_in
        from luxxon_core.client.wallet import ChainClient
        from luxxon_core.kernel.errors import Conflict
        from luxxon_core.kernel.money import format_usdc
        from luxxon_core.kernel.text import plain
        from luxxon_core.wallet_command import _path

        address = address_in(_path(settings, path))
        async with without_key(settings) as api:
            config = await api.config.get()
        if config.chain_id != DEVELOPMENT:
            raise Conflict("wallet:faucet", f"{config.chain_name} gives no test money away")
        async with ChainClient(config) as chain:
            await chain.faucet(address, TEST_WEI, TEST_USDC)
            usdc, eth = await chain.usdc(address), await chain.eth(address)
        if as_json:
            click.echo(json.dumps({"address": address, "usdc": str(usdc), "ethWei": str(eth)}))
        else:
            click.echo(plain(f"{address}: {format_usdc(usdc)} USDC"))

    work(url, todo)
