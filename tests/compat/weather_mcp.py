"""A remote MCP server with the weather, as a process of its own: prints its address, serves until it is ended."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from mcp.server.mcpserver import MCPServer


def main() -> None:
    """Serve on a free loopback port."""
    server = MCPServer("weather")

    @server.tool()
    def get_weather(city: str) -> str:
        """Tells the weather in a city."""
        return f"It is 21.5 degrees in {city}."

    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="error")).run(sockets=[listener])


@contextmanager
def weather_mcp() -> Iterator[str]:
    """The server while it runs; gives the address of its endpoint."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate(timeout=20)


if __name__ == "__main__":
    main()
