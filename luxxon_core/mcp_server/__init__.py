"""The MCP server: what an agent does with the marketplace, as tools of the Model Context Protocol.

``stdio`` serves one host on standard input and output, ``endpoint`` many by Streamable HTTP. Both reach the
marketplace through :mod:`luxxon_core.client` alone. Modules but ``command`` import the ``mcp`` package, which
takes a second: import them where they are used.
"""
