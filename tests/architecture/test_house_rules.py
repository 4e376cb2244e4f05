"""The rules of the house: who may import whom, how large a file may be, what a start may cost."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from luxxon_core.settings import Settings

ROOT = Path(__file__).parents[2]
PACKAGES = ("luxxon_core", "luxxon_tui", "plugins")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
MAX_LINES = 400
HEAVY = {
    "web3",
    "eth_account",
    "eth",
    "av",
    "aiortc",
    "asyncpg",
    "grpc",
    "textual",
    "httpx",
    "numpy",
    "sqlalchemy",
    "aiohttp",
    "alembic",
    "PIL",
    "asyncio",
}


# -- imports ----------------------------------------------------------------------------------------------


def lint(root: Path) -> tuple[int, str]:
    """Exit code and report of import-linter on a tree."""
    program = Path(sys.executable).with_name("lint-imports")
    found = subprocess.run(
        [program, "--no-cache", "--config", ".importlinter"],
        cwd=root,
        env={"PYTHONPATH": f"{root}:{root / 'plugins'}", "PATH": "/usr/bin:/bin", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return found.returncode, found.stdout + found.stderr


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree to build wrongly."""
    copy = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.png", "*.json")
        shutil.copytree(ROOT / package, copy / package, ignore=ignored)
    shutil.copy(ROOT / ".importlinter", copy)
    return copy


@pytest.fixture
def extended(house: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Path, str]]:
    """The copy with a line added to a file, or a new file; taken back afterwards."""
    name, line, contract = request.param
    path = house / name
    before = path.read_text() if path.exists() else None
    path.write_text((before or '"""Added."""\n') + f"\n{line}\n")
    yield house, contract
    if before is None:
        path.unlink()
    else:
        path.write_text(before)


def test_the_tree_keeps_every_contract(house: Path) -> None:
    code, report = lint(house)
    assert code == 0, report
    assert " 0 broken" in report


@pytest.mark.parametrize(
    "extended",
    [
        ("luxxon_core/kernel/geo.py", "import luxxon_core.sessions.domain", "Layers only import downward"),
        ("luxxon_core/pricing/domain.py", "import luxxon_core.wallet.ports", "Layers only import downward"),
        (
            "luxxon_core/sessions/usecases.py",
            "import luxxon_core.adapters.postgres.sessions",
            "Layers only import downward",
        ),
        ("luxxon_core/sessions/domain.py", "import luxxon_core.sessions.ports", "Inside a slice"),
        ("luxxon_core/sessions/usecases.py", "import luxxon_core.sessions.schemas", "Inside a slice"),
        ("luxxon_core/sessions/helpers.py", "VALUE = 1", "Inside a slice"),
        ("luxxon_core/dispatch/usecases.py", "import asyncpg", "know no technology"),
        ("luxxon_core/telemetry/ports.py", "from aiohttp import web", "know no technology"),
        ("luxxon_core/kernel/money.py", "import httpx", "know no technology"),
        ("luxxon_core/sessions/domain.py", "import random", "no clock, no randomness"),
        ("luxxon_core/access/domain.py", "import secrets", "no clock, no randomness"),
        ("luxxon_core/client/api.py", "import luxxon_core.adapters.postgres.access", "The SDK knows"),
        ("luxxon_core/client/api.py", "import luxxon_core.sessions.routes", "The SDK knows"),
        ("luxxon_core/operator/agent.py", "import luxxon_core.sessions.usecases", "The operator agent"),
        (
            "luxxon_core/adapters/chain/rpc.py",
            "import luxxon_core.adapters.postgres.database",
            "Adapters do not know each other",
        ),
        ("luxxon_core/server.py", "import luxxon_tui", "does not know the console"),
        ("luxxon_core/kernel/ids.py", "import textual", "does not know the console"),
        ("luxxon_tui/__init__.py", "import luxxon_core.server", "The console reaches the server"),
        ("plugins/luxxon_testcard/__init__.py", "import luxxon_core.client.api", "Plugins use"),
    ],
    indirect=True,
    ids=lambda given: f"{given[0]}: {given[1]}",
)
def test_a_wrong_import_or_a_stray_file_breaks_the_build(extended: tuple[Path, str]) -> None:
    house, contract = extended
    code, report = lint(house)
    assert code != 0
    broken = [line for line in report.splitlines() if line.endswith("BROKEN")]
    named = contract in report and (not broken or any(contract in line for line in broken))
    assert named, report


# -- size and words ---------------------------------------------------------------------------------------


def test_no_file_has_grown_two_jobs() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: size for name, size in sizes.items() if size > MAX_LINES} == {}


def test_no_file_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}
    assert [path for path in SOURCES if path.stem in drawers] == []


def undocumented(path: Path) -> Iterator[str]:
    """Public functions, methods of some length and classes that do something, without a docstring.

    Not asked of: one-liners, whose name says it; classes of nothing but fields or error texts; methods of
    Protocol implementations outside the use cases, whose words are at the port.
    """
    tree = ast.parse(path.read_text())
    if tree.body and not ast.get_docstring(tree):
        yield "the module"
    functions: list[ast.AST] = list(tree.body)
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods = [one for one in node.body if isinstance(one, FUNCTIONS)]
            functions += [one for one in methods if lines(one) > 12]
            if methods and not node.name.startswith("_") and not ast.get_docstring(node):
                yield node.name
    for node in functions:
        if not isinstance(node, FUNCTIONS) or node.name.startswith("_"):
            continue
        if len(node.body) > 1 and not ast.get_docstring(node):
            yield node.name


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_public_things_say_what_they_are() -> None:
    rooms = ("domain", "ports", "usecases")
    core = ROOT / "luxxon_core"
    paths = [one for one in SOURCES if one.is_relative_to(core) and one.stem in rooms]
    paths += [*(core / "kernel").glob("*.py"), core / "http" / "guard.py", core / "http" / "operation.py"]
    assert len(paths) > 20
    missing = {str(path.relative_to(ROOT)): found for path in paths if (found := [*undocumented(path)])}
    assert missing == {}


def test_every_module_of_the_core_says_what_it_is_for() -> None:
    texts = {path: path.read_text() for path in SOURCES if path.name != "__main__.py"}
    assert [
        path for path, text in texts.items() if text.strip() and not ast.get_docstring(ast.parse(text))
    ] == []


def test_nothing_is_left_to_do() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [path for path in SOURCES if words.search(path.read_text())] == []


def broad(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or (isinstance(handler.type, ast.Name) and handler.type.id == "BaseException")


def test_no_exception_is_swallowed_whole() -> None:
    """A bare ``except`` or ``except BaseException`` must raise again; ruff sees to ``except Exception``."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and broad(node):
                raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
                if not raises:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


# -- the cost of a start ----------------------------------------------------------------------------------


def test_the_command_line_imports_nothing_heavy() -> None:
    code = "import luxxon_core.cli, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "click" in done.stdout.split()
    assert HEAVY & set(done.stdout.split()) == set()


def test_help_needs_nothing_heavy_either() -> None:
    code = (
        "import sys\n"
        "from luxxon_core.cli import cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "luxxon demo" in done.stdout
    assert HEAVY & set(done.stdout.splitlines()[-1].split()) == set()


# -- the lock ---------------------------------------------------------------------------------------------


def test_the_lock_pins_hashes_and_names_no_host() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|--index|--extra-index|--find-links|--trusted-host|@ (git|http|file)", text)
    pinned = re.findall(r"^([A-Za-z0-9._\[\]-]+)==\S+", text, re.MULTILINE)
    assert len(pinned) > 60
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    assert [block for block in blocks if block.strip() and "--hash=sha256:" not in block] == []


def test_everything_that_is_needed_is_locked() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["test"]
    names = {re.split(r"[\[<>=!~; ]", one)[0].lower() for one in wanted}
    locked = {
        name.lower()
        for name in re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.M)
    }
    assert names - locked == {"luxxon"}  # the extras whose plugins are tested


def test_every_setting_is_described() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"`{name}`" not in text] == []
