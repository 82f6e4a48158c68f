"""A voice agent in a browser: the page talks by WebRTC with a key that lives a minute, and the agent runs here.

Sound goes straight between the page and the Realtime API. The page tells this server its call's id, and the agent joins the
call by it: its tools and its instructions never reach the page.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import threading
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from duologue.agents import RealtimeAgent, RealtimeSession, SessionSettings

PAGE = Path(__file__).parent / "browser"


def get_weather(city: str) -> str:
    """Tells the weather in a city.

    Args:
        city: Name of the city.
    """
    return f"It is sunny in {city}, 21 degrees."


agent = RealtimeAgent(
    "Guide",
    "You are a friendly guide. Be brief.",
    tools=[get_weather],
    voice="marin",
    greeting="Hello! Where shall we go?",
)


def client_secret(base: str) -> dict[str, str]:
    """A key for one page, with the agent's settings in it."""
    session = asyncio.run(RealtimeSession.compute_initial_session_config(agent))
    body = json.dumps({"session": {"type": "realtime", **session}}).encode()
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none')}",
    }
    request = urllib.request.Request(f"{base}/client_secrets", data=body, headers=headers)
    with urllib.request.urlopen(request) as reply:
        value: str = json.load(reply)["value"]
    return {"key": value, "calls": f"{base}/calls"}


async def attend(base: str, call_id: str) -> None:
    """Be the agent of a call until it ends."""
    session = RealtimeSession(agent, settings=SessionSettings(url=base.replace("http", "ws", 1)))
    await session.connect(call_id=call_id)
    session.on("tool_end", lambda event: print(f"{event.tool}: {event.output}", flush=True))
    await session.finished()
    await session.close()
    print("the call is over", flush=True)


class Site(SimpleHTTPRequestHandler):
    """The page; `POST /secret` gives it a key, `POST /call` sends the agent into its call."""

    def __init__(self, *arguments: object, base: str) -> None:
        self._base = base
        super().__init__(*arguments, directory=str(PAGE))  # type: ignore[arg-type]

    def do_POST(self) -> None:
        if self.path == "/secret":
            self._answer(client_secret(self._base))
        elif self.path == "/call":
            call_id = self.rfile.read(int(self.headers["Content-Length"])).decode()
            threading.Thread(target=asyncio.run, args=(attend(self._base, call_id),), daemon=True).start()
            self._answer({})
        else:
            self.send_error(404)

    def _answer(self, value: dict[str, str]) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="http://127.0.0.1:8000/v1/realtime", help="where the Realtime API is")
    parser.add_argument("--port", type=int, default=8090)
    options = parser.parse_args()
    with ThreadingHTTPServer(("127.0.0.1", options.port), partial(Site, base=options.base)) as server:
        print(f"open http://localhost:{server.server_port}", flush=True)
        server.serve_forever()
