"""Pages that are made from the code are what the code makes now: ``make docs`` writes them anew."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from types import ModuleType

import pytest
from doc_pages import ROOT, Page

from luxxon_core.settings import ClientSettings, OwnerSettings, Settings


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_make", ROOT / "docs" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["settings.md", "api.md"])
def test_it_is_current(maker: ModuleType, name: str) -> None:
    page: Callable[[], str] = maker.PAGES[name]
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == page(), "run: make docs"


def test_every_setting_is_in_the_table() -> None:
    rows = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    names = [*Settings.model_fields]
    names += [f"LUXXON_{name.upper()}" for name in ClientSettings.model_fields]
    names += [f"LUXXON_OWNER_{name.upper()}" for name in OwnerSettings.model_fields]
    assert [name for name in names if f"| `{name}` |" not in rows] == []


def test_every_endpoint_and_object_is_described_and_linked() -> None:
    document = json.loads((ROOT / "contracts" / "openapi.json").read_text(encoding="utf-8"))
    page = Page(ROOT / "docs" / "api.md")
    text = page.path.read_text(encoding="utf-8")
    for path, item in document["paths"].items():
        for method in item:
            if method != "parameters":
                assert f"\n### {method.upper()} {path}\n" in text
    for name in document["components"]["schemas"]:
        assert name.lower() in page.anchors
