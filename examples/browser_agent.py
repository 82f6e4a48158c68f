"""A voice agent in a browser: this server hands out keys that live a minute, and a page that talks by WebRTC.

The page gets no lasting key: the agent's instructions and voice are in the short-lived one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from duologue.agents import RealtimeAgent, RealtimeSession

PAGE = Path(__file__).parent / "browser"
agent = RealtimeAgent("Guide", "You are a friendly guide. Be brief.", voice="marin")


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


class Site(SimpleHTTPRequestHandler):
    """The page, and `/secret` for it."""

    def __init__(self, *arguments: object, base: str) -> None:
        self._base = base
        super().__init__(*arguments, directory=str(PAGE))  # type: ignore[arg-type]

    def do_POST(self) -> None:
        if self.path != "/secret":
            self.send_error(404)
            return
        body = json.dumps(client_secret(self._base)).encode()
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
