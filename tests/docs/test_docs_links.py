"""Every link of the documentation leads somewhere."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from doc_pages import ROOT, Page, pages

WELL_FORMED = re.compile(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(/\S*)?")
LOCAL = re.compile(r"http://(127\.0\.0\.1|localhost)(:\d+)?(/\S*)?")


@cache
def anchors(path: Path) -> set[str]:
    return Page(path).anchors


def broken(page: Page) -> list[str]:
    found = []
    for line, target in page.links:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            fine = bool(WELL_FORMED.fullmatch(target) or LOCAL.fullmatch(target))
        else:
            path = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            fine = path.exists() and path.is_relative_to(ROOT)
            if fine and parts.fragment:
                fine = path.suffix == ".md" and parts.fragment in anchors(path)
        if not fine:
            found.append(f"{page.name}:{line} {target}")
    return found


EXAMPLES = [Page(path) for path in sorted((ROOT / "examples").glob("**/*.md"))]


@pytest.mark.parametrize("page", [*pages(), *EXAMPLES], ids=lambda page: page.name)
def test_links_resolve(page: Page) -> None:
    assert broken(page) == []


def test_every_page_is_found_from_the_index() -> None:
    index = Page(ROOT / "docs" / "README.md")
    linked = {(index.path.parent / urlsplit(target).path).resolve() for _, target in index.links}
    assert [page.name for page in pages() if page.path.parent.name == "docs" and page.path not in linked] == [
        "docs/README.md"
    ]


def test_a_link_that_leads_nowhere_is_seen() -> None:
    wrong = ["docs/nothing.md", "README.md#no-such-heading", "http://example.com", "https://nothing"]
    wrong += ["../../etc/passwd", "#nowhere"]
    page = Page(ROOT / "README.md")
    page.__dict__["links"] = [*enumerate(wrong), (9, "docs/sdk.md#events"), (9, "#see-it")]
    assert [told.split()[1] for told in broken(page)] == wrong
