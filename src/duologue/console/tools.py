"""The two tools of the console: the weather of a place, and a memory of keys and values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import httpx

from duologue.console.views import WeatherView

WEATHER_URL = "https://api.open-meteo.com"
TIMEOUT_SECONDS = 8.0
SHOWN = 20

GET_WEATHER = {
    "name": "get_weather",
    "description": "Retrieves the weather for a place, given its coordinates and a label.",
    "parameters": {
        "type": "object",
        "properties": {
            "lat": {"type": "number", "description": "Latitude of the place"},
            "lng": {"type": "number", "description": "Longitude of the place"},
            "location": {"type": "string", "description": "Name of the place"},
        },
        "required": ["lat", "lng", "location"],
    },
}
SET_MEMORY = {
    "name": "set_memory",
    "description": "Saves important data about the user into memory.",
    "parameters": {
        "type": "object",
        "properties": {
            "key": {
                "type": "string",
                "description": "The key of the memory value. Always use lowercase and underscores, no other characters.",
            },
            "value": {"type": "string", "description": "Value can be anything represented as a string"},
        },
        "required": ["key", "value"],
    },
}


class ConsoleTools:
    """What the tools have found out in this process; `changed` is called after every change."""

    def __init__(self, changed: Callable[[], None], *, weather_url: str = WEATHER_URL) -> None:
        self._changed = changed
        self._weather_url = weather_url.rstrip("/")
        self.places: tuple[WeatherView, ...] = ()
        self.memory: dict[str, Any] = {}

    async def get_weather(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Temperature and wind at a place. A failure is an `error` in the answer, for the model to tell."""
        try:
            lat, lng = float(arguments["lat"]), float(arguments["lng"])
        except (KeyError, TypeError, ValueError):
            return {"error": "get_weather needs lat and lng as numbers"}
        if not (math.isfinite(lat) and math.isfinite(lng) and abs(lat) <= 90 and abs(lng) <= 180):
            return {"error": f"there is no place at latitude {lat}, longitude {lng}"}
        place = str(arguments.get("location") or f"{lat:.3f}, {lng:.3f}")
        view = WeatherView(lat=lat, lng=lng, location=place, temperature_c=None, wind_kmh=None, problem="")
        self._show((*self.places, view)[-SHOWN:])
        answer = await self._ask(lat, lng)
        problem = answer.get("error", {})
        done = WeatherView(
            lat=lat,
            lng=lng,
            location=place,
            temperature_c=answer.get("temperature"),
            wind_kmh=answer.get("wind_speed"),
            problem=problem.get("message", ""),
            problem_code=problem.get("code", ""),
        )
        self._show(tuple(done if known is view else known for known in self.places))
        if "error" in answer:
            return answer
        units = {"temperature": "°C", "wind_speed": "km/h"}
        return {name: {"value": value, "units": units[name]} for name, value in answer.items() if value is not None}

    async def set_memory(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Remember a value under a key."""
        key = arguments.get("key")
        if not isinstance(key, str) or not key:
            return {"error": "set_memory needs a key"}
        self.memory = {**self.memory, key: arguments.get("value")}
        self._changed()
        return {"ok": True}

    def _show(self, places: tuple[WeatherView, ...]) -> None:
        self.places = places
        self._changed()

    async def _ask(self, lat: float, lng: float) -> dict[str, Any]:
        query: dict[str, str | float] = {"latitude": lat, "longitude": lng, "current": "temperature_2m,wind_speed_10m"}
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as http:
                answer = await http.get(f"{self._weather_url}/v1/forecast", params=query)
            answer.raise_for_status()
            current = answer.json()["current"]
            return {"temperature": float(current["temperature_2m"]), "wind_speed": float(current["wind_speed_10m"])}
        except httpx.HTTPStatusError as refusal:
            return _problem(
                "service_refused", f"the weather service answered with status {refusal.response.status_code}"
            )
        except httpx.HTTPError:
            return _problem(
                "service_unreachable", "the weather service cannot be reached; is this machine connected to a network?"
            )
        except (KeyError, TypeError, ValueError):
            return _problem("service_nonsense", "the weather service gave an answer that makes no sense")


def _problem(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}
