"""What pages name is there: commands with their options, targets of make, variables, files of the project.

In blocks that are not run on this machine, too, and in code spans.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache

import click
import pytest
from doc_pages import ROOT, Page, pages

from luxxon_core.cli import cli
from luxxon_core.profiles import ConsoleSettings
from luxxon_core.settings import CameraSettings, ClientSettings, OwnerSettings, Settings

ELSEWHERE = {"docs/plugins.md"}
"""The page of an author's own folder: its commands and files are not ours, and another module runs it all."""
PAGES = [page for page in pages() if page.name not in ELSEWHERE]
FOLDERS = (
    r"(?:luxxon_core|luxxon_tui|plugins|tests|docs|contracts|deploy|benchmarks|screenshots|examples|\.ci)"
)


def lines(page: Page) -> Iterator[str]:
    """What could be typed: lines of shell blocks, and code spans."""
    for block in page.blocks:
        text = block.text.replace("\\\n", " ")
        if block.language == "console":
            text = "\n".join(re.findall(r"^\$ (.*)", text, re.MULTILINE))
        if block.language in ("sh", "console"):
            yield from text.splitlines()
    yield from (span for _, span in page.spans)


def words(line: str) -> list[str]:
    try:
        return shlex.split(re.sub(r"(?<=\s)\[|\](?=\s|$)", " ", line), comments=True)
    except ValueError:
        return []


def invocations(page: Page) -> Iterator[list[str]]:
    """What follows ``luxxon`` wherever it is called."""
    for line in lines(page):
        for part in re.split(r"&&|\|\| |[;(`]|\$\(", line):
            told = words(part)
            while told and re.fullmatch(r"\w+=.*|export", told[0]):
                told = told[1:]
            if told and re.fullmatch(r"(\S*/)?luxxon", told[0]):
                yield told[1:]


def wrong(arguments: list[str]) -> str | None:
    """What of a call of ``luxxon`` is not there."""
    command: click.Command = cli
    words = iter(arguments)
    for word in words:
        if word in ("|", ">", "&"):
            break
        if word.startswith("-"):
            named = word.split("=")[0].split("|")[0]
            option = next((one for one in command.params if named in one.opts), None)
            if option is None and named not in ("--help", "-h", "--version"):
                return f"{word} is no option of {command.name}"
            if isinstance(option, click.Option) and not option.is_flag and "=" not in word:
                next(words, None)  # its value
        elif isinstance(command, click.Group):
            group = command
            for one in word.split("|"):
                known = group.get_command(click.Context(group), one)
                if known is None:
                    return f"{one} is no command of {group.name}"
                command = known
    return None


def test_blocks_are_run_or_say_why_not() -> None:
    for page in pages():
        for block in page.blocks:
            assert block.not_run is None or len(block.not_run.split()) >= 2, block.where
            assert block.language or block.not_run, f"{block.where}: a block needs a language"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page: Page) -> None:
    found = [(shlex.join(call), wrong(call)) for call in invocations(page)]
    assert [one for one in found if one[1]] == []


def test_a_command_that_is_not_there_is_seen() -> None:
    assert wrong(["serve", "--nowhere"]) == "--nowhere is no option of serve"
    assert wrong(["wallet", "burn"]) == "burn is no command of wallet"
    assert wrong(["wallet", "new|import", "--file", "x"]) is None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_of_make_exist(page: Page) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {told[1] for line in lines(page) if len(told := words(line)) > 1 and told[0] == "make"}
    assert named <= targets


@cache
def sources() -> str:
    folders = ("luxxon_core", "luxxon_tui", "plugins")
    return "".join(path.read_text() for one in folders for path in (ROOT / one).rglob("*.py"))


def variables() -> set[str]:
    found = {f"LUXXON_OWNER_{name.upper()}" for name in OwnerSettings.model_fields}
    for model in (Settings, ClientSettings, CameraSettings):
        found |= {f"LUXXON_{name.upper()}" for name in model.model_fields}
    found |= {f"LUXXON_{name.upper()}" for name in ConsoleSettings.__struct_fields__}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_variables_are_read_by_something(page: Page) -> None:
    text = page.path.read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![A-Z_])LUXXON_[A-Z][A-Z_]+[A-Z]", text)) - variables()
    assert [one for one in named if one not in sources() and f'environ.get("{one}"' not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_project_exist(page: Page) -> None:
    said = [span for _, span in page.spans]
    said += [one for block in page.blocks for one in re.findall(rf"{FOLDERS}/[\w./-]+", block.text)]
    named = {one for one in said if re.fullmatch(rf"{FOLDERS}/[\w./*-]*", one)}
    gone = [one for one in named if not list(ROOT.glob(one.rstrip("/")))]
    assert [one for one in gone if one != "deploy/luxxon.env"] == []  # which the operator makes


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_metrics_are_told_by_something(page: Page) -> None:
    said = [span for _, span in page.spans] + [block.text for block in page.blocks]
    named = {one for text in said for one in re.findall(r"(?<![\w/])luxxon_[a-z_]+[a-z](?![\w.:/])", text)}
    packages = {"luxxon_core", "luxxon_tui"}
    assert [one for one in named - packages if one.removesuffix("_total") not in sources()] == []
