"""The server of both transports: tools, the frames of sessions as resources, a prompt."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    BlobResourceContents,
    CallToolRequestParams,
    CallToolResult,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
)

from luxxon_core import __version__
from luxxon_core.client import Luxxon
from luxxon_core.kernel.errors import LuxxonError
from luxxon_core.mcp_server import prompts
from luxxon_core.mcp_server.answers import Answer, failure, refused
from luxxon_core.mcp_server.calls import Calls
from luxxon_core.mcp_server.progress import Progress
from luxxon_core.mcp_server.tools import TOOLS

if TYPE_CHECKING:
    import asyncio

    from mcp.server.context import ServerRequestContext

    Context = ServerRequestContext[Any, Any]

log = structlog.get_logger(__name__)

NO_KEY = (
    "LUXXON_API_KEY is not set. Make a key with `luxxon keys mint` or in the console, and give it to this "
    "server in the environment that your MCP host starts it with."
)
INSTRUCTIONS = (
    "Luxxon sells live video of real places by the second. To look once, call observe. To look for longer: "
    "get_coverage and get_pricing_quote, then request_live_view, get_frame or watch, and end_session as soon "
    "as you have seen enough: until then it costs money. Amounts are µUSDC, 1 USDC is 1,000,000."
)
SCHEME = "luxxon://sessions/"
FRAME = "/frame"
A_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request.

    Attributes:
        api: None where no key is known.
        gone: set when nobody waits for the answer any more.
    """

    api: Luxxon | None
    gone: asyncio.Event | None = None


Opened = Callable[["Context"], AbstractAsyncContextManager[Caller]]


def made(opened: Opened, calls: Calls) -> Server[Any]:
    """The server.

    Args:
        opened: gives who makes a request, and the API as that caller, for as long as it is answered.
    """
    handlers = _Handlers(opened, calls)
    return Server(
        "luxxon",
        version=__version__,
        title="Luxxon",
        instructions=INSTRUCTIONS,
        cache_hints={
            "tools/list": CacheHint(A_DAY, "public"),
            "prompts/list": CacheHint(A_DAY, "public"),
            "resources/templates/list": CacheHint(A_DAY, "public"),
        },
        get_tool_input_schema=lambda name: TOOLS[name].described.input_schema if name in TOOLS else None,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_templates,
        on_read_resource=handlers.read_resource,
        on_list_prompts=handlers.list_prompts,
        on_get_prompt=handlers.get_prompt,
    )


class _Handlers:
    def __init__(self, opened: Opened, calls: Calls) -> None:
        self._opened, self._calls = opened, calls

    async def list_tools(self, _: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[row.described for row in TOOLS.values()])

    async def call_tool(self, context: Context, asked: CallToolRequestParams) -> CallToolResult:
        async with self._opened(context) as caller:
            api = caller.api
            if api is None:
                return Answer(NO_KEY, failed=True).result()
            row = TOOLS.get(asked.name)
            if row is None:
                return Answer(f"Unknown tool: {asked.name[:100]}", failed=True).result()
            progress = Progress(context.session.report_progress)
            try:
                call = lambda: row(api, asked.arguments, progress)  # noqa: E731 - a coroutine for a task
                answer = await self._calls.run(api, call, caller.gone)
            except msgspec.ValidationError as error:
                answer = refused(error)
            except LuxxonError as error:
                answer = failure(error)
            return answer.result()

    async def list_resources(self, context: Context, _: PaginatedRequestParams | None) -> ListResourcesResult:
        """The pictures of sessions that are LIVE now."""
        async with self._opened(context) as caller:
            if caller.api is None:
                return ListResourcesResult(resources=[])
            try:
                live = await caller.api.sessions.list(state="LIVE")
            except LuxxonError as error:
                raise _refusal(error) from error
        found = [
            Resource(
                uri=f"{SCHEME}{one.id}{FRAME}",
                name=f"frame-{one.id}",
                title=f"Latest picture of {one.requested_lat}, {one.requested_lng}",
                mime_type="image/jpeg",
            )
            for one in live
        ]
        return ListResourcesResult(resources=found)

    async def list_templates(
        self, _: Context, __: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        frame = ResourceTemplate(
            uri_template=f"{SCHEME}{{id}}{FRAME}",
            name="frame",
            title="Latest picture of a session",
            description="The latest picture of the LIVE session with that id.",
            mime_type="image/jpeg",
        )
        return ListResourceTemplatesResult(resource_templates=[frame])

    async def read_resource(self, context: Context, asked: ReadResourceRequestParams) -> ReadResourceResult:
        uri = str(asked.uri)
        session_id = uri.removeprefix(SCHEME).removesuffix(FRAME)
        if uri != f"{SCHEME}{session_id}{FRAME}" or not session_id.strip(".") or "/" in session_id:
            raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})
        async with self._opened(context) as caller:
            if caller.api is None:
                raise MCPError(INVALID_PARAMS, NO_KEY)
            try:
                picture = await caller.api.sessions.frame(session_id)
            except LuxxonError as error:
                raise _refusal(error, uri=uri) from error
        blob = base64.b64encode(picture).decode()
        return ReadResourceResult(contents=[BlobResourceContents(uri=uri, mime_type="image/jpeg", blob=blob)])

    async def list_prompts(self, _: Context, __: PaginatedRequestParams | None) -> ListPromptsResult:
        return ListPromptsResult(prompts=[prompts.INSPECT_PLACE])

    async def get_prompt(self, _: Context, asked: GetPromptRequestParams) -> GetPromptResult:
        if asked.name != prompts.INSPECT_PLACE.name:
            raise MCPError(INVALID_PARAMS, f"Unknown prompt: {asked.name[:100]}")
        return prompts.inspect_place(asked.arguments or {})


def _refusal(error: LuxxonError, **more: str) -> MCPError:
    """An error of the API where the protocol has no result for one."""
    code = INTERNAL_ERROR if error.status >= 500 else INVALID_PARAMS
    data = {"code": error.code, "status": error.status, "detail": error.detail, **more}
    return MCPError(code, error.message, data)
