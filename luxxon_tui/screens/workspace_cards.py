"""Cards of the Workspace screen: what a key may do, and its plaintext or another secret, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from luxxon_core.http.principal import Scope
from luxxon_core.kernel.money import parse_usdc
from luxxon_tui.rows import EMPTY, Row, Span, row
from luxxon_tui.widgets.checks import Checks
from luxxon_tui.widgets.field import Field, too_long
from luxxon_tui.widgets.lines import Lines
from luxxon_tui.widgets.modal import Modal

if TYPE_CHECKING:
    from luxxon_core.access.schemas import KeyArea

SCOPES = {
    Scope.SESSIONS_READ: "see sessions, receipts and events",
    Scope.SESSIONS_CREATE: "ask for sessions, and so spend",
    Scope.SESSIONS_OPERATE: "go online, publish, control cameras",
    Scope.PRICING_READ: "ask for quotes",
    Scope.WALLET_READ: "see the pool and its ledger",
}
FIRST = (Scope.SESSIONS_READ, Scope.PRICING_READ)


class Minting(NamedTuple):
    """The arguments of the client's ``create_api_key``."""

    label: str
    scopes: tuple[str, ...]
    daily_cap_micro_usdc: int | None = None
    session_cap_micro_usdc: int | None = None
    areas: tuple[KeyArea, ...] = ()


class MintCard(Modal[Minting | None]):
    """Label, scopes and budget of a new key. Dismisses with them, or None.

    Args:
        environment: TEST or LIVE, as the server's.
    """

    CSS = """
    MintCard { align: center middle; background: $background 60%; }
    MintCard > Vertical {
        width: 66; max-width: 100%; height: auto; max-height: 100%;
        background: $surface; border-left: outer $accent; padding: 1 2;
    }
    MintCard Field, MintCard Checks { margin-bottom: 1; }
    MintCard Horizontal { height: 1; }
    MintCard Horizontal Field { width: 1fr; margin-bottom: 0; }
    MintCard Horizontal Lines { width: 12; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Leave"), ("enter", "mint", "Mint")]

    def __init__(self, environment: str) -> None:
        super().__init__()
        self._environment, self._wrong = environment, ""

    def compose(self) -> ComposeResult:
        scopes = [(str(scope), SCOPES.get(scope, "nothing asks for it yet")) for scope in Scope]
        with Vertical():
            yield Lines(self._head, id="head", ground="surface")
            yield Field(placeholder="what it is for: edge box, notebook", id="label")
            yield Checks(scopes, FIRST)
            with Horizontal():
                yield _label("USDC a day")
                yield Field(placeholder="no cap", id="daily")
                yield _label("  a session")
                yield Field(placeholder="no cap", id="session")
            with Horizontal():
                yield _label("places")
                yield Field(placeholder="anywhere, or 52.52,13.40,2km; …", id="areas")
            yield Lines(lambda _width: [EMPTY], ground="surface")
            yield Lines(self._keys, ground="surface")

    def _head(self, _width: int) -> list[Row]:
        wrong = row(Span("✕ ", "bad"), self._wrong) if self._wrong else EMPTY
        return [row(Span(f"New {self._environment} key", "bright", bold=True)), wrong]

    def _keys(self, _width: int) -> list[Row]:
        return [
            row(
                Span(" enter ", "hint", bold=True, on="accent", action="screen.mint"),
                Span("mint ", "ink", bold=True, on="accent", action="screen.mint"),
                Span("   tab", "text", bold=True), Span(" scopes, budget   ", "muted"),
                Span("space", "text", bold=True), Span(" tick   ", "muted"),
                Span("esc", "text", bold=True, action="screen.leave"),
                Span(" not now", "muted", action="screen.leave"),
            )
        ]  # fmt: skip

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_mint()

    def action_mint(self) -> None:
        label, scopes = self.query_one("#label", Field).value.strip(), self.query_one(Checks).ticked
        if wrong := too_long(label):
            self._wrong = wrong
        elif label and scopes:
            try:
                wish = Minting(label, scopes, self._cap("daily"), self._cap("session"), self._areas())
            except ValueError as error:
                self._wrong = str(error)
            else:
                self.dismiss(wish)
                return
        else:
            self._wrong = "Tick at least one scope" if label else "Say what it is for"
        self.query_one("#head", Lines).redraw()

    def _typed(self, name: str) -> str:
        return self.query_one(f"#{name}", Field).value.strip()

    def _cap(self, name: str) -> int | None:
        """µUSDC; None where nothing stands there."""
        typed = self._typed(name)
        return parse_usdc(typed) if typed else None

    def _areas(self) -> tuple[KeyArea, ...]:
        from luxxon_core.access.schemas import KeyArea

        return tuple(KeyArea.parse(each) for each in self._typed("areas").split(";") if each.strip())

    def action_leave(self) -> None:
        self.dismiss(None)


def _label(words: str) -> Lines:
    return Lines(lambda _width: [row(Span(words, "muted"))], ground="surface")


class SecretCard(Modal[None]):
    """A key's plaintext, or another secret, which is told once: the card stays until it was copied, or shown
    to be written down.

    Args:
        label: of what it belongs to.
        plaintext: kept by this card alone, and gone with it.
        what: ``key``, ``secret``
    """

    CSS = """
    SecretCard { align: center middle; background: $background 60%; }
    SecretCard > Vertical {
        width: 66; max-width: 100%; height: auto;
        background: $surface; border-left: outer $accent; padding: 1 2;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("c", "copy", "Copy"),
        ("v", "show", "Show"),
        ("enter", "kept", "I have kept it"),
        ("escape", "kept", "Leave"),
    ]

    def __init__(self, label: str, plaintext: str, what: str = "key") -> None:
        super().__init__()
        self._label, self._plaintext, self._what = label, plaintext, what
        self._copied = self._shown = self._seen = self._hurried = False

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines(self._rows, ground="surface")

    def _rows(self, width: int) -> list[Row]:
        plain = 8 if self._what == "key" else self._plaintext.find("_") + 1
        secret = self._plaintext if self._shown else self._plaintext[:plain].ljust(len(self._plaintext), "•")
        pieces = [secret[at : at + width] for at in range(0, len(secret), width)]
        taken = self._copied or self._seen
        if self._copied:
            said = row(Span("✓ ", "ok"), "copied: paste it where it is to be kept")
        elif self._hurried:
            said = row(Span("▲ ", "warn"), "copy it first: it cannot be had again")
        else:
            said = row(Span("It is told now and never again.", "muted"))
        ground, ink = ("accent", "ink") if taken else ("raised", "muted")
        return [
            row(Span(f"The {self._what} of {self._label}", "bright", bold=True)),
            said,
            EMPTY,
            *(row(Span(piece, "text", on="raised")) for piece in pieces),
            EMPTY,
            row(
                Span("c", "text", bold=True, action="screen.copy"),
                Span(" copy   ", "muted", action="screen.copy"),
                Span("v", "text", bold=True, action="screen.show"),
                Span(" hide   " if self._shown else " show   ", "muted", action="screen.show"),
                Span(" enter ", "hint" if taken else "muted", True, ground, "screen.kept"),
                Span("I have kept it ", ink, True, ground, "screen.kept"),
            ),
        ]

    def _again(self) -> None:
        self.query_one(Lines).redraw()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._plaintext)
        self._copied = True
        self._again()

    def action_show(self) -> None:
        self._shown = not self._shown
        self._seen = True
        self._again()

    def action_kept(self) -> None:
        if self._copied or self._seen:
            self._plaintext = ""
            self.dismiss(None)
        else:
            self._hurried = True
            self._again()
