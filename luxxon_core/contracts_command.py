"""``luxxon contracts``: deploy the settlement contract, look at one, and do what its owner may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from luxxon_core.runner import run

if TYPE_CHECKING:
    from luxxon_core.adapters.chain.deployment import Plan
    from luxxon_core.adapters.chain.rpc import RpcChain
    from luxxon_core.adapters.chain.signer import Signer
    from luxxon_core.settings import Settings

F = TypeVar("F", bound=Callable[..., object])

DIFFERS = 1
"""Exit code where the contract on the chain is not ours."""


@click.group()
def contracts() -> None:
    """Deploy the settlement contract, look at one, pause one.

    The chain is the one behind LUXXON_RPC_URL: Base, Base Sepolia or a development node. The key that acts
    is a keystore, a key in AWS KMS, or LUXXON_OWNER_KEY.
    """


def _on_a_chain(function: F) -> F:
    return click.option(
        "--rpc-url", help="The chain's node; one with a key in it belongs in LUXXON_RPC_URL."
    )(function)


def _of_a_contract(function: F) -> F:
    named = click.option("--address", help="The contract.  [default: LUXXON_SETTLEMENT_ADDRESS]")
    return _on_a_chain(named(function))


def _with_a_key(function: F) -> F:
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option(
            "--kms-key", help="Id, ARN or alias of a key in AWS KMS.  [default: LUXXON_OWNER_KMS_KEY]"
        ),
        click.option(
            "--passphrase-file",
            type=click.Path(path_type=Path, dir_okay=False, exists=True),
            help="What opens it; else LUXXON_OWNER_PASSPHRASE, or you are asked.",
        ),
        click.option(
            "--keystore",
            type=click.Path(path_type=Path, dir_okay=False, exists=True),
            help="The key's file.  [default: LUXXON_OWNER_KEYSTORE]",
        ),
    ):
        function = option(function)
    return function


@contracts.command()
@click.option("--platform", required=True, help="Who receives the fees.")
@click.option("--relayer", required=True, help="The account that may settle.")
@click.option("--owner", help="Who may pause and change the two above.  [default: the deployer]")
@click.option("--usdc", help="The token.  [default: Circle's; on a development node a test token]")
@click.option("--dry-run", is_flag=True, help="Print the plan and send nothing.")
@_with_a_key
@_on_a_chain
def deploy(
    rpc_url: str | None,
    keystore: Path | None,
    passphrase_file: Path | None,
    kms_key: str | None,
    yes: bool,
    platform: str,
    relayer: str,
    owner: str | None,
    usdc: str | None,
    dry_run: bool,
) -> None:
    """Put a new settlement contract on the chain, after showing what that takes."""

    async def work(settings: Settings, chain: RpcChain) -> int:
        from luxxon_core.adapters.chain import deployment
        from luxxon_core.kernel.errors import StartError

        signer = await _signer(settings, keystore, passphrase_file, kms_key)
        planned = await deployment.plan(
            chain,
            signer.address,
            usdc=usdc or settings.usdc_address,
            platform_wallet=_address("--platform", platform),
            relayer=_address("--relayer", relayer),
            owner=signer.address if owner is None else _address("--owner", owner),
        )
        _print_plan(planned)
        if dry_run:
            return 0
        if planned.balance < planned.cost:
            raise StartError(message=f"{signer.address} holds too little ETH: send it some and try again")
        _confirm("Send it?", yes)
        address = await deployment.deploy(chain, signer, planned, lambda line: click.echo(line, err=True))
        click.echo(f"LUXXON_SETTLEMENT_ADDRESS={address}")
        found = await deployment.compare(chain, address)
        if found.difference is not None:
            click.echo(f"this is not what was sent: {found.difference}", err=True)
        return 0 if found.difference is None else DIFFERS

    _work(rpc_url, None, work)


@contracts.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_of_a_contract
def verify(rpc_url: str | None, address: str | None, as_json: bool) -> None:
    """Compare the contract's code with the one of this version.

    Exits with 0 when they are the same, 1 when they differ.
    """

    async def work(settings: Settings, chain: RpcChain) -> int:
        from luxxon_core.adapters.chain.deployment import chain_id, compare

        found = await compare(chain, _contract(settings))
        if as_json:
            import json

            shown = {"address": found.address, "chainId": await chain_id(chain), "bytes": found.size}
            shown |= {"immutables": list(found.immutables), "same": found.difference is None}
            click.echo(json.dumps(shown | {"difference": found.difference}))
        else:
            click.echo(
                found.difference or f"the same {found.size} bytes, for the token {found.immutables[0]}"
            )
        return 0 if found.difference is None else DIFFERS

    _work(rpc_url, address, work)


@contracts.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_of_a_contract
def info(rpc_url: str | None, address: str | None, as_json: bool) -> None:
    """Show the contract's roles, and whether it is paused."""

    async def work(settings: Settings, chain: RpcChain) -> int:
        from luxxon_core.adapters.chain.deployment import facts
        from luxxon_core.adapters.chain.networks import NAMES
        from luxxon_core.kernel.money import format_usdc

        found = await facts(chain, _contract(settings))
        if as_json:
            import json

            click.echo(
                json.dumps(
                    {
                        "chainId": found.chain_id,
                        "address": found.address,
                        "owner": found.owner,
                        "pendingOwner": found.pending_owner,
                        "relayer": found.relayer,
                        "platformWallet": found.platform_wallet,
                        "usdc": found.usdc,
                        "paused": found.paused,
                        "balance": str(found.balance_uusdc),
                    }
                )
            )
            return 0
        for name, value in (
            ("chain", f"{found.chain_id} {NAMES.get(found.chain_id, '')}".strip()),
            ("contract", found.address),
            ("owner", found.owner),
            ("pending owner", found.pending_owner or "none"),
            ("relayer", found.relayer),
            ("platform wallet", found.platform_wallet),
            ("token", found.usdc),
            ("paused", "yes" if found.paused else "no"),
            ("pools", f"{format_usdc(found.balance_uusdc)} USDC"),
        ):
            click.echo(f"{name:16} {value}")
        return 0

    _work(rpc_url, address, work)


@contracts.command()
@_with_a_key
@_of_a_contract
def pause(
    rpc_url: str | None,
    address: str | None,
    keystore: Path | None,
    passphrase_file: Path | None,
    kms_key: str | None,
    yes: bool,
) -> None:
    """Stop deposits and settlements; withdrawals go on."""
    _set_paused(True, rpc_url, address, (keystore, passphrase_file, kms_key), yes)


@contracts.command()
@_with_a_key
@_of_a_contract
def unpause(
    rpc_url: str | None,
    address: str | None,
    keystore: Path | None,
    passphrase_file: Path | None,
    kms_key: str | None,
    yes: bool,
) -> None:
    """Resume deposits and settlements."""
    _set_paused(False, rpc_url, address, (keystore, passphrase_file, kms_key), yes)


def _set_paused(
    paused: bool,
    rpc_url: str | None,
    address: str | None,
    key: tuple[Path | None, Path | None, str | None],
    yes: bool,
) -> None:
    async def work(settings: Settings, chain: RpcChain) -> int:
        from luxxon_core.adapters.chain.deployment import set_paused

        contract, signer = _contract(settings), await _signer(settings, *key)
        what = "Stop deposits and settlements" if paused else "Resume deposits and settlements"
        _confirm(f"{what} of {contract}?", yes)
        tx_hash = await set_paused(chain, signer, contract, paused)
        state = "paused" if paused else "not paused"
        click.echo(f"{state}, by {tx_hash}" if tx_hash else f"it is {state} already")
        return 0

    _work(rpc_url, address, work)


def _work(
    rpc_url: str | None, address: str | None, work: Callable[[Settings, RpcChain], Awaitable[int]]
) -> None:
    from luxxon_core.adapters.chain.deployment import connected
    from luxxon_core.kernel.errors import StartError
    from luxxon_core.settings import load

    given = {"rpc_url": rpc_url, "settlement_address": address}
    settings = load(**{name: value for name, value in given.items() if value is not None})
    if not settings.rpc_urls:
        raise StartError(message="which chain? Set LUXXON_RPC_URL to a node of it")

    async def connect_and_work() -> int:
        chain = connected(settings.rpc_urls)
        try:
            return await work(settings, chain)
        finally:
            await chain.close()

    run(connect_and_work())


async def _signer(
    settings: Settings, keystore: Path | None, passphrase_file: Path | None, kms_key: str | None
) -> Signer:
    """The owner's key; what the command line names comes before the environment."""
    from luxxon_core.adapters.chain.keys import KeySource, signer_of
    from luxxon_core.kernel.errors import StartError
    from luxxon_core.passphrases import opened_by_a_person
    from luxxon_core.settings import load_owner, revealed

    given = load_owner()
    named = keystore is not None or kms_key is not None
    source = KeySource(
        "owner",
        key=None if named else revealed(given.key),
        keystore=keystore if named else given.keystore,
        kms_key=kms_key if named else given.kms_key,
        passphrase=revealed(given.passphrase) if passphrase_file is None else None,
        passphrase_file=passphrase_file or given.passphrase_file,
        kms_region=settings.kms_region,
        kms_endpoint=settings.kms_endpoint,
    )
    signer = await signer_of(opened_by_a_person(source))
    if signer is None:
        raise StartError(message="whose key? Name --keystore or --kms-key, or set LUXXON_OWNER_KEY")
    return signer


def _contract(settings: Settings) -> str:
    from luxxon_core.kernel.errors import StartError

    if settings.settlement_address is None:
        raise StartError(message="which contract? Name --address, or set LUXXON_SETTLEMENT_ADDRESS")
    return _address("settlement_address", settings.settlement_address)


def _address(name: str, given: str) -> str:
    from luxxon_core.adapters.chain.rpc import checksum
    from luxxon_core.kernel.errors import InvalidInput, StartError

    try:
        return checksum(given)
    except InvalidInput:
        raise StartError(message=f"{name}: not an address, 0x and 40 hexadecimal digits") from None


def _confirm(question: str, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True, err=True)


def _print_plan(planned: Plan) -> None:
    from luxxon_core.adapters.chain.networks import NAMES

    chain = f"{planned.chain_id} {NAMES.get(planned.chain_id, '')}".strip()
    rows = [("chain", chain), ("deployer", f"{planned.deployer}, holds {_ether(planned.balance)} ETH")]
    for one in planned.creations:
        gas = "known when the one before is mined" if one.gas is None else f"at most {one.gas}"
        rows += [("", ""), (one.contract, one.address), ("nonce", str(one.nonce)), ("gas", gas)]
        rows += one.arguments.items()
    unknown = any(one.gas is None for one in planned.creations)
    cost = f"at most {_ether(planned.cost)} ETH" + (", and what is not known yet" if unknown else "")
    for name, value in (*rows, ("", ""), ("cost", cost)):
        click.echo(f"{name:17}{value}".rstrip())


def _ether(wei: int) -> str:
    from decimal import Decimal

    return format(Decimal(wei).scaleb(-18).normalize(), "f")
