"""``luxxon wallet``: a wallet of the user's own, kept in an encrypted file."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from luxxon_core.runner import run

if TYPE_CHECKING:
    from luxxon_core.client.wallet import ChainClient, LocalWallet
    from luxxon_core.http.schemas import Config
    from luxxon_core.settings import ClientSettings

LARGEST_FILE = 65_536
MICRO = 1_000_000


class Usdc(click.ParamType):  # type: ignore[type-arg]
    """An amount of USDC with up to six decimals, as µUSDC; ``all`` where that makes sense, as None."""

    name = "amount"

    def __init__(self, *, all_of_it: bool = False) -> None:
        self._all = all_of_it

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if isinstance(value, int):
            return value
        if self._all and value == "all":
            return None
        found = re.fullmatch(r"([0-9]{1,12})(?:\.([0-9]{1,6}))?", str(value))
        if found is None:
            self.fail(f"{value!r} is no amount of USDC, such as 5 or 0.25.", param, ctx)
        amount = int(found[1]) * MICRO + int((found[2] or "").ljust(6, "0"))
        if amount == 0:
            self.fail("nothing to move.", param, ctx)
        return amount


@click.group()
def wallet() -> None:
    """Your own wallet: keep its key in an encrypted file, and move USDC into your pool and out of it.

    The file is LUXXON_WALLET, else wallet.json in your configuration folder. Its passphrase is asked for, or
    taken from LUXXON_WALLET_PASSPHRASE or the file LUXXON_WALLET_PASSPHRASE_FILE.
    """


_file = click.option(
    "--file", "path", type=click.Path(path_type=Path, dir_okay=False), help="The wallet's file."
)
_url = click.option("--url", help="The server.  [default: LUXXON_URL, else http://127.0.0.1:3010]")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@wallet.command()
@_file
def new(path: Path | None) -> None:
    """Make a wallet with a fresh key."""
    from luxxon_core.client.wallet import LocalWallet

    _keep(path, LocalWallet.create)


@wallet.command("import")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="A file with the private key, or a keystore; - for standard input.  [default: you are asked]",
)
@_file
def import_(source: Path | None, path: Path | None) -> None:
    """Keep a key that you have already. It is never an argument: those are seen by others."""
    _keep(path, lambda: _given(source))


@wallet.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_file
@_url
def show(as_json: bool, path: Path | None, url: str | None) -> None:
    """Show the address, and what it holds."""

    async def work(settings: ClientSettings) -> int:
        import asyncio

        from luxxon_core.client.keystore import address_in

        address = address_in(_path(settings, path))
        async with _Market(settings) as market:
            usdc, eth, pool = await asyncio.gather(
                market.chain.usdc(address), market.chain.eth(address), market.chain.pool(address)
            )
            config = market.config
        if as_json:
            import json

            balances = {"usdc": str(usdc), "ethWei": str(eth), "pool": str(pool)}
            click.echo(json.dumps({"address": address, "chainId": config.chain_id, **balances}))
            return 0
        for name, value in (
            ("address", address),
            ("chain", f"{config.chain_id} {config.chain_name}"),
            ("USDC", _usdc(usdc)),
            ("ETH", _ether(eth)),
            ("pool", f"{_usdc(pool)} USDC"),
        ):
            click.echo(f"{name:10}{value}")
        return 0

    _work(url, work)


@wallet.command("top-up")
@click.argument("amount", type=Usdc())
@_yes
@_file
@_url
def top_up(amount: int, yes: bool, path: Path | None, url: str | None) -> None:
    """Move AMOUNT USDC from the wallet into its pool, out of which sessions are paid.

    The first time takes two transactions, approve and deposit. A wallet without ETH for gas signs instead,
    and the server sends it.
    """

    async def work(settings: ClientSettings) -> int:
        from luxxon_core.kernel.errors import InvalidInput

        keystore = _path(settings, path)
        owner = _opened(settings, keystore)
        async with _Market(settings) as market:
            chain, config = market.chain, market.config
            held = await chain.usdc(owner.address)
            if held < amount:
                raise InvalidInput(
                    "wallet:balance",
                    f"{owner.address} holds {_usdc(held)} USDC on {config.chain_name}: send it some first",
                )
            own_gas = await chain.pays_gas(owner.address)
            how = "" if own_gas else ", sent by the server because the wallet holds no ETH"
            where = f"the pool in {config.settlement_address} on {config.chain_name}"
            _confirm(f"Move {_usdc(amount)} USDC into {where}{how}?", yes)
            if own_gas:
                await chain.top_up(owner, amount, _progress)
            else:
                await market.sponsored(owner, amount)
            click.echo(f"pool: {_usdc(await chain.pool(owner.address))} USDC")
        return 0

    _work(url, work)


@wallet.command()
@click.argument("amount", type=Usdc(all_of_it=True))
@_yes
@_file
@_url
def withdraw(amount: int | None, yes: bool, path: Path | None, url: str | None) -> None:
    """Move AMOUNT USDC, or all, from the pool back into the wallet."""

    async def work(settings: ClientSettings) -> int:
        from luxxon_core.kernel.errors import InvalidInput

        owner = _opened(settings, _path(settings, path))
        async with _Market(settings) as market:
            chain = market.chain
            pool = await chain.pool(owner.address)
            wanted = pool if amount is None else amount
            if wanted > pool or pool == 0:
                raise InvalidInput("wallet:pool", f"The pool holds {_usdc(pool)} USDC")
            if await chain.eth(owner.address) == 0:
                raise InvalidInput(
                    "wallet:gas", f"A withdrawal needs a little ETH for gas in {owner.address}"
                )
            _confirm(f"Move {_usdc(wanted)} USDC out of the pool into {owner.address}?", yes)
            _progress("withdraw")
            await chain.withdraw(owner, wanted)
            click.echo(f"pool: {_usdc(await chain.pool(owner.address))} USDC")
        return 0

    _work(url, work)


class _Market:
    """A server and its chain, for the length of a command."""

    chain: ChainClient
    config: Config

    def __init__(self, settings: ClientSettings) -> None:
        from contextlib import AsyncExitStack

        from luxxon_core.client import Luxxon
        from luxxon_core.settings import revealed

        self._stack = AsyncExitStack()
        self._signed_in = settings.api_key is not None
        self._api = Luxxon(settings.url.rstrip("/") + "/api/v1", api_key=revealed(settings.api_key))

    async def __aenter__(self) -> _Market:
        from luxxon_core.client.wallet import ChainClient

        await self._stack.enter_async_context(self._api)
        try:
            self.config = await self._api.config.get()
            self.chain = await self._stack.enter_async_context(ChainClient(self.config))
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def sponsored(self, owner: LocalWallet, amount: int) -> None:
        """Top up by signature; who has no API key signs in with the wallet."""
        if not self._signed_in:
            _progress("sign in")
            challenge = await self._api.auth.challenge(owner.address)
            signature = owner.sign_message(challenge.message)
            await self._api.auth.login(owner.address, challenge.nonce, signature)
        _progress("sign")
        authorization = await self.chain.authorize(owner, amount)
        sent = await self._api.wallet.deposit(authorization)
        _progress(f"deposit {sent.tx_hash}")
        await self.chain.deposited(authorization)


def _work(url: str | None, work: Callable[[ClientSettings], Coroutine[Any, Any, int]]) -> None:
    from luxxon_core.settings import load_client

    run(work(load_client(**({} if url is None else {"url": url}))))


def _keep(path: Path | None, make: Callable[[], LocalWallet]) -> None:
    """Write a wallet into its file and say where it is."""
    from luxxon_core.client.keystore import write
    from luxxon_core.kernel.errors import Conflict
    from luxxon_core.settings import load_client

    settings = load_client()
    keystore = _path(settings, path)
    if keystore.exists():
        raise Conflict("wallet:exists", f"There is a wallet in {keystore} already: name another --file")
    made = make()
    write(keystore, made, _passphrase(settings, keystore, new=True))
    click.echo(f"address   {made.address}")
    click.echo(f"file      {keystore}")
    click.echo("Who loses the file or its passphrase loses the wallet: keep a copy of both.", err=True)


def _given(source: Path | None) -> LocalWallet:
    """A wallet out of what a person or a file says."""
    import json

    from luxxon_core.client.wallet import LocalWallet
    from luxxon_core.kernel.errors import InvalidInput

    text = _text(source)
    if not text.lstrip().startswith("{"):
        if len(text.split()) in (12, 15, 18, 21, 24):
            raise InvalidInput(
                "wallet:key", "That is a recovery phrase: have its wallet show the account's private key"
            )
        return LocalWallet.from_key(text)
    words = click.prompt("Passphrase of that keystore", hide_input=True, err=True)
    try:
        return LocalWallet.decrypted(json.loads(text), words)
    except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError):
        raise InvalidInput("wallet:key", "No keystore, or the passphrase does not open it") from None


def _text(source: Path | None) -> str:
    from luxxon_core.kernel.errors import InvalidInput

    if source is None:
        if not sys.stdin.isatty():
            raise InvalidInput("wallet:key", "No terminal to ask at: name a file with --from, or - for stdin")
        return str(click.prompt("Private key", hide_input=True, err=True))
    try:
        if str(source) == "-":
            return sys.stdin.read(LARGEST_FILE)
        with source.open(encoding="utf-8") as file:
            return file.read(LARGEST_FILE)
    except (OSError, UnicodeDecodeError):
        raise InvalidInput("wallet:key", f"{source} cannot be read as text") from None


def _path(settings: ClientSettings, given: Path | None) -> Path:
    if given is not None or settings.wallet is not None:
        return given or settings.wallet or Path()
    import platformdirs

    return platformdirs.user_config_path("luxxon", appauthor=False) / "wallet.json"


def _opened(settings: ClientSettings, keystore: Path) -> LocalWallet:
    from luxxon_core.client.keystore import address_in, read

    address_in(keystore)  # before anybody types a passphrase
    return read(keystore, _passphrase(settings, keystore))


def _passphrase(settings: ClientSettings, keystore: Path, *, new: bool = False) -> str:
    from luxxon_core.kernel.errors import StartError
    from luxxon_core.passphrases import ask

    if settings.wallet_passphrase is not None:
        return settings.wallet_passphrase.get_secret_value()
    if settings.wallet_passphrase_file is not None:
        try:
            return settings.wallet_passphrase_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise StartError(message="LUXXON_WALLET_PASSPHRASE_FILE cannot be read") from None
    if not sys.stdin.isatty():
        raise StartError(message="no terminal to ask for the passphrase: set LUXXON_WALLET_PASSPHRASE_FILE")
    return ask(keystore, new=new)


def _confirm(question: str, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True, err=True)


def _progress(step: str) -> None:
    click.echo(f"{step} …", err=True)


def _usdc(micro: int) -> str:
    from luxxon_core.kernel.money import format_usdc

    return format_usdc(micro)


def _ether(wei: int) -> str:
    from decimal import Decimal

    return format(Decimal(wei).scaleb(-18).normalize(), "f")
