"""Lists that are read page by page: the last item's id asks for the next page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol, TypeVar


class Identified(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Identified)


async def paged(read: Callable[[str | None], Awaitable[list[T]]], size: int) -> AsyncGenerator[T, None]:
    """The items of all pages.

    A server that knows no pages answers the same again and again: what has been there already ends it.

    Args:
        read: the page after an id; the first one after None.
        size: of a page that another may follow.
    """
    cursor: str | None = None
    seen: set[str] = set()
    while True:
        page = await read(cursor)
        for item in page:
            if item.id in seen:
                return
            yield item
        if len(page) != size:
            return
        seen = {item.id for item in page}
        cursor = page[-1].id
