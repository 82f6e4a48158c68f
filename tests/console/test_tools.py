from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from duologue.console.tools import ConsoleTools


@contextmanager
def weather_service(status: int, body: Any) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """A real HTTP server that answers every forecast alike; yields its address and the queries it got."""
    queries: list[dict[str, list[str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            queries.append(parse_qs(urlsplit(self.path).query))
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", queries
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


GOOD = {"current": {"temperature_2m": 19.4, "wind_speed_10m": 17}}
PARIS = {"lat": 48.85, "lng": 2.35, "location": "Paris"}


def test_the_weather_is_asked_for_shown_and_told() -> None:
    changes: list[int] = []
    with weather_service(200, GOOD) as (url, queries):
        tools = ConsoleTools(lambda: changes.append(1), weather_url=url)
        answer = asyncio.run(tools.get_weather(PARIS))
    assert answer == {
        "temperature": {"value": 19.4, "units": "°C"},
        "wind_speed": {"value": 17.0, "units": "km/h"},
    }
    assert queries[0]["latitude"] == ["48.85"]
    assert queries[0]["current"] == ["temperature_2m,wind_speed_10m"]
    (place,) = tools.places
    assert (place.location, place.temperature_c, place.wind_kmh, place.problem) == ("Paris", 19.4, 17.0, "")
    assert len(changes) == 2  # the marker first, the numbers later


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (503, {}, "status 503"),
        (200, {"current": {}}, "makes no sense"),
        (200, b"<html>", "makes no sense"),
    ],
)
def test_a_bad_answer_is_a_tool_error_and_the_place_still_shows(status: int, body: Any, words: str) -> None:
    with weather_service(status, body) as (url, _):
        tools = ConsoleTools(lambda: None, weather_url=url)
        answer = asyncio.run(tools.get_weather(PARIS))
    assert words in answer["error"]["message"]
    assert answer["error"]["code"].startswith("service_")
    assert words in tools.places[0].problem


def test_without_a_network_the_model_is_told_so() -> None:
    tools = ConsoleTools(lambda: None, weather_url="http://127.0.0.1:9")
    assert "cannot be reached" in asyncio.run(tools.get_weather(PARIS))["error"]["message"]
    assert tools.places[-1].problem_code == "service_unreachable"


@pytest.mark.parametrize("arguments", [{}, {"lat": "x", "lng": 1}, {"lat": 91, "lng": 0}, {"lat": "nan", "lng": 0}])
def test_impossible_places(arguments: dict[str, Any]) -> None:
    tools = ConsoleTools(lambda: None)
    assert "error" in asyncio.run(tools.get_weather(arguments))
    assert tools.places == ()


def test_memory() -> None:
    tools = ConsoleTools(lambda: None)
    assert asyncio.run(tools.set_memory({"key": "name", "value": "Anna"})) == {"ok": True}
    assert tools.memory == {"name": "Anna"}
    assert "error" in asyncio.run(tools.set_memory({"value": "x"}))
