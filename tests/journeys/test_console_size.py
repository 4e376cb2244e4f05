"""The console is as large as its terminal, whatever the environment says."""

import asyncio
from pathlib import Path

from consoles import console


async def test_exported_columns_and_lines_do_not_shrink_the_console(tmp_path: Path) -> None:
    environment = {
        "COLUMNS": "60",
        "LINES": "12",
        "LUXXON_CONSOLE_FILE": str(tmp_path / "console.toml"),
        "LUXXON_DATA_DIR": str(tmp_path / "data"),
        "XDG_CACHE_HOME": str(tmp_path),
    }
    async with console(environment=environment, size=(100, 30), folder=tmp_path) as shown:
        await shown.shows("q quit")
        assert shown.cells.place("q quit") == (93, 29), shown.text
        shown.resize(120, 36)
        async with asyncio.timeout(60):
            while shown.cells.place("q quit") != (113, 35):
                await shown.stirs()
