"""What the engines behind OpenAI-compatible HTTP endpoints share: addresses, keys, failures."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from duologue.errors import EngineError

_CONNECT_SECONDS = 10.0
_SHOWN_CHARS = 300


class Endpoint:
    """One route of a server. `url` is the base (`http://host:port/v1`) or the full address; `option` is where it was set.

    `silence_seconds` bounds the wait for the next byte of an answer. The key appears in no repr and no error.
    """

    def __init__(
        self, engine: str, url: str, route: str, *, option: str, key: str | None = None, silence_seconds: float = 60
    ) -> None:
        self.engine = engine
        base = url.strip().rstrip("/")
        self.url = base if base.endswith(route) else base + route
        self._option = option
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._secret = key
        self._timeout = httpx.Timeout(silence_seconds, connect=_CONNECT_SECONDS)
        self._client: httpx.AsyncClient | None = None

    async def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    @asynccontextmanager
    async def post(self, **content: Any) -> AsyncGenerator[httpx.Response, None]:
        """A successful answer, its body still to be read. Raises EngineError, also for failures while it is read.

        Leaving early, or being cancelled, closes the connection, which tells the server to stop.
        """
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=self._timeout)
        try:
            async with self._client.stream("POST", self.url, headers=self._headers, **content) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise self._refused(response)
                yield response
        except httpx.TimeoutException as error:
            raise EngineError(
                self.engine, f"no answer from {self.url} in time.", code="engine_timeout", retryable=True,
                remedy=f"Check that the server behind {self._option} is not overloaded.",
            ) from error  # fmt: skip
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EngineError(
                self.engine, f"cannot reach {self.url}: {str(error) or type(error).__name__}.", code="engine_unreachable",
                remedy=f"Check that the server runs and that {self._option} is right.", retryable=True,
            ) from error  # fmt: skip

    def broken(self, why: str) -> EngineError:
        """The server answered something that cannot be understood."""
        return EngineError(self.engine, f"{self.url} answered {why}.", code="engine_failed", retryable=True)

    def _refused(self, response: httpx.Response) -> EngineError:
        status = response.status_code
        said = error_message(response.text)
        if self._secret:
            said = said.replace(self._secret, "***")
        remedy = f"Look into the log of the server behind {self._option}."
        if status in (401, 403):
            remedy = "Check the key."
        elif status in (404, 405):
            remedy = f"Check that {self._option} names an OpenAI-compatible server and that it has the model."
        elif status == 429:
            remedy = "The server is limiting requests: wait, or use another."
        elif status < 500:
            remedy = "Check the model's name and what the model supports."
        return EngineError(
            self.engine, f"HTTP {status} from {self.url}: {said}.", code=f"http_{status}", remedy=remedy,
            retryable=status in (408, 409, 425, 429) or status >= 500,
        )  # fmt: skip


def error_message(body: str) -> str:
    """What the server says went wrong, from the usual JSON or from plain text, at most 300 characters."""
    try:
        said: Any = msgspec.json.decode(body)
        while isinstance(said, dict):
            said = said.get("error") or said.get("message") or said.get("detail") or body
        body = said if isinstance(said, str) else body
    except msgspec.DecodeError:
        pass
    return " ".join(body.split())[:_SHOWN_CHARS].rstrip(".") or "no reason given"
