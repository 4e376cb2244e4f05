"""The prompt says what was asked, to the digit."""

from __future__ import annotations

from mcp.types import TextContent

from luxxon_core.mcp_server.prompts import inspect_place


def test_it_names_the_place_and_no_other() -> None:
    """Six digits of a longitude are a street further."""
    prompt = inspect_place({"lat": "37.7749295", "lng": "-122.4194155", "question": "Any snow?"})
    content = prompt.messages[0].content
    assert isinstance(content, TextContent)
    assert "the place at 37.7749295, -122.4194155 (latitude, longitude): Any snow?" in content.text
