"""The first start's way to a server: its address, a wallet, a workspace, the pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual.widgets import Input

from luxxon_core.kernel.errors import InvalidInput, LuxxonError
from luxxon_core.kernel.money import MICRO_PER_USDC
from luxxon_tui.rows import row, spread
from luxxon_tui.screens import first_start_pages as pages
from luxxon_tui.screens import first_start_work as work
from luxxon_tui.screens import wallet_figures as figures
from luxxon_tui.screens.first_start_frame import PageScreen
from luxxon_tui.screens.first_start_pages import Page, Place
from luxxon_tui.views import Failure
from luxxon_tui.widgets.field import Field
from luxxon_tui.widgets.question import Question, question_card

if TYPE_CHECKING:
    from luxxon_core.client import Luxxon
    from luxxon_core.client.wallet import LocalWallet
    from luxxon_core.profiles import ProfileTable
    from luxxon_tui.screens.wallet_figures import ChainFacts

TYPING_SECONDS = 0.4
"""Without a key after which an address is checked."""


class ConnectScreen(PageScreen):
    """The pages of *Connect*."""

    def __init__(self) -> None:
        super().__init__()
        self._typed = ""
        self._api: Luxxon | None = None
        self._wallet: LocalWallet | None = None
        self._path, self._passphrase = Path(), ""
        self._keystores: list[tuple[str, str]] = []
        self._members: list[tuple[str, str, str]] = []
        self._workspace: str | None = None
        self._facts: ChainFacts | None = None

    async def on_unmount(self) -> None:
        await self._close()

    def entered(self) -> None:
        if self.place is Place.SERVER and self._typed and self.checked is None:
            self._check_soon(0.0)

    def typed(self, text: str) -> None:
        if self.place is Place.SERVER:
            self._typed, self.checked = text, None
            self._check_soon(TYPING_SECONDS)

    def submit(self) -> None:
        submits: dict[Place, Callable[[], None]] = {
            Place.SERVER: self._submit_server,
            Place.MAKE: partial(self._submit_wallet, 0),
            Place.IMPORT: partial(self._submit_wallet, 1),
            Place.OPEN: self._submit_open,
            Place.KEY: self._submit_key,
            Place.FOUND: self._submit_workspace,
        }
        submits[self.place]()

    def page(self) -> Page:
        made: dict[Place, Callable[[], Page]] = {
            Place.SERVER: lambda: pages.server(self._typed),
            Place.WALLET: lambda: pages.wallet(
                self._keystores, self._wallet.address if self._wallet else None
            ),
            Place.MAKE: lambda: pages.make(str(self._path)),
            Place.IMPORT: lambda: pages.import_key(str(self._path)),
            Place.OPEN: lambda: pages.open_keystore(str(self._path)),
            Place.KEY: pages.api_key,
            Place.WORKSPACE: lambda: pages.workspace(self._members, self._workspace),
            Place.FOUND: lambda: pages.found(first=not self._members),
            Place.TOP_UP: self._top_up_page,
        }
        return made[self.place]()

    def _top_up_page(self) -> Page:
        assert self.checked is not None and self._wallet is not None
        return pages.top_up(self.checked.config, self._wallet.address, self._facts)

    # -- connect: the server

    def _choose_connect(self) -> None:
        self._go(Place.SERVER)

    def _check_soon(self, seconds: float) -> None:
        typed = self._typed

        async def looked() -> None:
            await asyncio.sleep(seconds)
            if typed.strip():
                await self._check(typed)

        self._step(looked(), work.NOT_REACHED)

    async def _check(self, typed: str) -> None:
        found = await self._during("looking", work.check(typed))
        if self.place is Place.SERVER and typed == self._typed:
            self.checked = found
            self._phases = []
            self._draw()

    def _submit_server(self) -> None:
        async def on() -> None:
            if self.checked is None:
                await self._check(self._typed)
            checked = self.checked
            if checked is None:
                return
            if self._api is None or not self._api.base_url.startswith(f"{checked.url}/"):
                await self._close()
                self._api = await work.client_of(checked.url)
                self._members, self._workspace, self._facts = [], None, None
            await self._list_keystores()
            self._go(Place.WALLET)

        self._step(on(), work.NOT_REACHED)

    async def _close(self) -> None:
        api, self._api = self._api, None
        if api is not None:
            await api.close()

    # -- connect: the wallet

    async def _list_keystores(self) -> None:
        from luxxon_core.client.keystore import address_in

        def found() -> list[tuple[str, str]]:
            path = work.usual_keystore()
            try:
                return [(str(path), address_in(path))] if path.exists() else []
            except InvalidInput:
                return []

        self._keystores = await asyncio.to_thread(found)

    def _choose_make(self) -> None:
        self._path = work.free_keystore(work.usual_keystore())
        self._go(Place.MAKE)

    def _choose_import(self) -> None:
        self._path = work.free_keystore(work.usual_keystore())
        self._go(Place.IMPORT)

    def _choose_open(self) -> None:
        self._path = work.usual_keystore()
        self._go(Place.OPEN)

    def _choose_file(self, path: str) -> None:
        self._path = Path(path)
        self._go(Place.OPEN)

    def _choose_key(self) -> None:
        self._go(Place.KEY)

    def _submit_key(self) -> None:
        self._step(self._use_key(self._value(0).strip()), work.NO_KEY)

    async def _use_key(self, key: str) -> None:
        """Have the server say whose key it is; then it is the profile's."""
        from luxxon_core.profiles import ProfileTable

        assert self.checked is not None
        url, console = self.checked.url, self.console
        await self._during("asking whose it is", work.whose_key(url, key))
        profile = ProfileTable(url=url, api_key=key)
        name = work.profile_name(url, console.facts.profiles)
        await self._keep(name, profile)
        self.dismiss()
        console.open_profile(name, profile)

    def _submit_wallet(self, before: int) -> None:
        """A fresh wallet, or an imported one: then the key is the field ``before`` the passphrases."""
        key = self._value(0) if before else None
        passphrase, again = self._value(before), self._value(before + 1)
        if not passphrase:
            self._refuse("an empty passphrase protects nothing", "type one, twice", before)
        elif passphrase != again:
            self._refuse("the two passphrases are not the same", "type it once more", before + 1)
        else:
            self._step(self._keep_wallet(key, passphrase), "the wallet was not kept")

    def _refuse(self, what: str, remedy: str, number: int) -> None:
        field = self.query_one(f"#field-{number}", Field)
        with field.prevent(Input.Changed):
            field.value = ""
        self.set_focus(field)
        self._wrong = Failure(what, "", remedy)
        self._draw()

    async def _keep_wallet(self, key: str | None, passphrase: str) -> None:
        path = self._path
        wallet = await self._during("encrypting the key", work.keep_wallet(path, key, passphrase))
        await self._signed_in(wallet, path, passphrase)

    def _submit_open(self) -> None:
        path = Path(self._value(0).strip()).expanduser()
        self._step(self._open(path, self._value(1)), "the keystore was not opened")

    async def _open(self, path: Path, passphrase: str) -> None:
        wallet = await self._during("opening the keystore", work.open_wallet(path, passphrase))
        await self._signed_in(wallet, path, passphrase)

    async def _signed_in(self, wallet: LocalWallet, path: Path, passphrase: str) -> None:
        """The wallet is there: it stays so, whatever the server says to it."""
        if self._wallet is None or self._wallet.address != wallet.address:
            self._workspace, self._facts = None, None
        self._wallet, self._path, self._passphrase = wallet, path, passphrase
        if self.place is not Place.WALLET:  # from here on, back leads to the choice of wallets
            self._trail.pop()
            phases = self._phases
            self._enter(Place.WALLET)
            self._phases = phases
        await self._sign_in()

    def _choose_go(self) -> None:
        self._step(self._sign_in(), "not signed in")

    async def _sign_in(self) -> None:
        assert self._api is not None and self._wallet is not None
        members = await self._during("signing in", work.memberships(self._api, self._wallet))
        self._members = work.named(members)
        self._go(Place.WORKSPACE if self._members else Place.FOUND)

    # -- connect: the workspace

    def _choose_id(self, workspace_id: str) -> None:
        self._step(self._act_for(workspace_id), "not chosen")

    async def _act_for(self, workspace_id: str) -> None:
        assert self._api is not None
        await self._during("choosing it", self._api.auth.select_workspace(workspace_id))
        await self._have(workspace_id)

    def _choose_found(self) -> None:
        self._go(Place.FOUND)

    def _submit_workspace(self) -> None:
        self._step(self._make_workspace(self._value(0)), "the workspace was not made")

    async def _make_workspace(self, name: str) -> None:
        assert self._api is not None and self._wallet is not None
        made = await self._during("making it", work.make_workspace(self._api, self._wallet, name))
        self._members = [*self._members, (made, name.strip(), "OWNER")]
        if self._trail[-1] is Place.WORKSPACE:
            self._trail.pop()
        self.place = Place.WORKSPACE  # back leads to the list, in which it is
        await self._have(made)

    async def _have(self, workspace_id: str) -> None:
        self._workspace = workspace_id
        await self._read_purse()
        self._go(Place.TOP_UP)

    # -- connect: the pool

    async def _read_purse(self) -> None:
        """What the wallet holds; a chain that does not answer keeps nobody from going on."""
        assert self.checked is not None and self._wallet is not None
        try:
            reading = work.purse(self.checked.config, self._wallet.address)
            self._facts = await self._during("looking at the chain", reading)
        except LuxxonError:
            self._facts = None

    def _choose_read(self) -> None:
        self._step(self._read_again(), "the chain was not read")

    async def _read_again(self) -> None:
        await self._read_purse()
        self._phases = []
        self._draw(fresh=True)

    def _choose_faucet(self) -> None:
        async def given() -> None:
            assert self.checked is not None and self._wallet is not None
            giving = work.test_money(self.checked.config, self._wallet.address)
            await self._during("asking for test money", giving)
            await self._read_again()

        self._step(given(), "no test money")

    def _choose_copy(self) -> None:
        assert self._wallet is not None
        self.app.copy_to_clipboard(self._wallet.address)
        self.notify("address copied", timeout=4)

    def _choose_add(self, usdc: str) -> None:
        self._step(self._top_up(int(usdc) * MICRO_PER_USDC), "not topped up")

    async def _top_up(self, amount: int) -> None:
        assert self.checked is not None and self._wallet is not None and self._api is not None
        assert self._facts is not None
        fee = "none" if self._facts.gasless else f"{figures.ether(self._facts.fee)} ETH"
        facts = (
            spread(38, row("network fee, at most"), row(fee)),
            spread(38, row("pool after"), row(f"{figures.short(self._facts.pool + amount)} USDC")),
        )
        question = Question(f"Top up {figures.short(amount)} USDC?", facts, "top up", "not now")
        if not await self.app.push_screen_wait(question_card(question)):
            return
        await work.top_up(self._api, self.checked.config, self._wallet, amount, self._doing)
        self._doing(None)
        await self._read_again()

    def _choose_done(self) -> None:
        self._step(self._finish(), "not kept")

    async def _finish(self) -> None:
        """Keep the profile and go in: the passphrase, which was just typed, is not asked for again."""
        from luxxon_core.profiles import ProfileTable

        assert self.checked is not None
        url, console = self.checked.url, self.console
        profile = ProfileTable(url=url, wallet=self._path.absolute(), workspace=self._workspace)
        name = work.profile_name(url, console.facts.profiles)
        await self._keep(name, profile)
        passphrase, self._passphrase = self._passphrase, ""
        self.dismiss()
        console.open_profile(name, profile, passphrase=passphrase)

    async def _keep(self, name: str, profile: ProfileTable) -> None:
        """Write the profile; a file that cannot be written costs only the next start."""
        from luxxon_core.profiles import keep_profile

        facts = self.console.facts
        self.console.facts = replace(facts, profiles={**facts.profiles, name: profile}, fresh=False)
        if not facts.remember:
            return
        try:
            await asyncio.to_thread(keep_profile, name, profile)
        except LuxxonError as error:
            self.notify(error.message, title="the profile was not kept", severity="warning", timeout=10)
