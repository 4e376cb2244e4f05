"""The pages of the documentation, taken apart: blocks of code, links, headings, code spans.

A comment before a block says what the runner cannot know:

``<!-- not run: REASON -->``
    the block needs what a plain machine does not have. What can be checked of it still is.
``<!-- keeps running: WORDS -->``
    it does not end by itself; the page goes on when it has printed WORDS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
MARKER = re.compile(r"<!-- (not run|keeps running): (.+?) -->\s*", re.DOTALL)
PARSER = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: its file, relative to the project.
        line: where it begins, from 1.
        not_run: why it is not run; None where it is.
        ready: what a program that does not end prints when it is there; None where it ends.
    """

    page: str
    line: int
    language: str
    text: str
    not_run: str | None
    ready: str | None

    @property
    def file(self) -> str | None:
        """The file that it is: its first line is a comment with a name and nothing else."""
        named = re.match(r"# ([\w./-]+\.(?:py|toml|yaml))\n", self.text)
        return named[1] if named else None

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Page:
    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def tokens(self) -> Sequence[Token]:
        return PARSER.parse(self.path.read_text(encoding="utf-8"))

    @cached_property
    def blocks(self) -> list[Block]:
        found, said = [], {"not run": None, "keeps running": None}
        for token in self.tokens:
            marker = MARKER.fullmatch(token.content) if token.type == "html_block" else None
            if marker is not None:
                said[marker[1]] = " ".join(marker[2].split())
                continue
            if token.type == "fence":
                assert token.map is not None
                line, language = token.map[0] + 1, token.info.strip()
                found.append(
                    Block(self.name, line, language, token.content, said["not run"], said["keeps running"])
                )
            said = dict.fromkeys(said)
        return found

    def _inline(self) -> Iterator[tuple[int, Token]]:
        for token in self.tokens:
            if token.type == "inline":
                assert token.map is not None
                for child in token.children or ():
                    yield token.map[0] + 1, child

    @cached_property
    def links(self) -> list[tuple[int, str]]:
        """Targets of links and pictures, with the line that their paragraph begins at."""
        return [
            (line, str(child.attrs.get("href") or child.attrs.get("src")))
            for line, child in self._inline()
            if child.type in ("link_open", "image")
        ]

    @cached_property
    def spans(self) -> list[tuple[int, str]]:
        """What stands in code spans, with the line that its paragraph begins at."""
        return [(line, child.content) for line, child in self._inline() if child.type == "code_inline"]

    @cached_property
    def anchors(self) -> set[str]:
        """Of its headings, as GitHub names them."""
        found: dict[str, int] = {}
        names = set()
        for before, token in zip(self.tokens, self.tokens[1:], strict=False):
            if before.type != "heading_open":
                continue
            text = "".join(child.content for child in token.children or ())
            name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            count = found[name] = found.get(name, -1) + 1
            names.add(f"{name}-{count}" if count else name)
        return names


@cache
def pages() -> list[Page]:
    """README, CONTRIBUTING and everything in ``docs/``."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
    return [Page(path) for path in found]
