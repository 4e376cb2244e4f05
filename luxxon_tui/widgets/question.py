"""The card that asks once, with the cost before anything is spent."""

from __future__ import annotations

from dataclasses import dataclass

from luxxon_tui.rows import EMPTY, Row, Span, row
from luxxon_tui.widgets.card import Card


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        title: ``End the session?``
        facts: what follows from it; for what spends money the cost and what is left.
        yes: ``end now``
        no: ``keep watching``
    """

    title: str
    facts: tuple[Row | str, ...] = ()
    yes: str = "yes"
    no: str = "no"


def question_card(question: Question) -> Card:
    """A card that ``enter`` answers with yes and ``esc`` with no. The key that opened it answers nothing: it
    may be held down."""
    facts = [row(Span(fact, "muted")) if isinstance(fact, str) else fact for fact in question.facts]
    return Card(
        [
            row(Span(question.title, "bright", bold=True)),
            *facts,
            EMPTY,
            row(
                Span(" enter ", "hint", bold=True, on="accent", action="screen.answer(True)"),
                Span(f"{question.yes} ", "ink", bold=True, on="accent", action="screen.answer(True)"),
                "   ",
                Span("esc", "text", bold=True, action="screen.answer(False)"),
                Span(f" {question.no}", "muted", action="screen.answer(False)"),
            ),
        ],
        asks=True,
    )
