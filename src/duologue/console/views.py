"""What the page is told, as values: one struct for each thing it shows. The page's TypeScript types are made from these.

Times are ms since the call began, sizes are bytes of the JSON frame.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

By = Literal["client", "server"]
Mode = Literal["manual", "vad"]
CallState = Literal["idle", "connecting", "connected", "closed"]


class EventRow(Struct, frozen=True, kw_only=True):
    """One line of the event list: `count` events of one type, item and response, from event `first` on.

    Nothing came between them but the microphone's own events.
    """

    n: int
    first: int
    count: int
    t_ms: int
    last_ms: int
    by: By
    type: str
    size: int
    item: str
    response: str
    note: str


class EventHead(Struct, frozen=True, kw_only=True):
    """One event inside an opened line."""

    n: int
    t_ms: int
    size: int
    note: str


class EventBody(Struct, frozen=True, kw_only=True):
    """What an event carried: `json` has its sound replaced by a note, `audio_ms` of sound can be asked for."""

    n: int
    json: str
    size: int
    audio_ms: int


class ToolCallView(Struct, frozen=True, kw_only=True):
    """A tool call as the model asks for it; `arguments` grows while it is spoken."""

    name: str
    call_id: str
    arguments: str


class ItemView(Struct, frozen=True, kw_only=True):
    """One item of the conversation.

    `heard_ms` of `audio_ms` have left the loudspeaker; `cut_ms` is set once the item was truncated there. `unheard` is
    the part of the text that was generated but never reached the ear. `no_words`: speech in which none were heard.
    """

    id: str
    kind: str
    role: str
    status: str
    text: str
    unheard: str
    awaiting_transcript: bool
    no_words: bool = False
    tool: ToolCallView | None
    output: str
    audio_ms: int
    heard_ms: int
    cut_ms: int | None
    problem: str
    problem_code: str = ""


class Settings(Struct, frozen=True, kw_only=True):
    """The part of the session that the panel edits, flat. None means "not told" in the effective column."""

    instructions: str | None = None
    voice: str | None = None
    modality: Literal["audio", "text"] | None = None
    detection: Literal["server_vad", "semantic_vad", "manual"] | None = None
    threshold: float | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None
    idle_timeout_ms: int | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None
    eagerness: Literal["auto", "low", "medium", "high"] | None = None
    transcription_model: str | None = None
    language: str | None = None


class SessionView(Struct, frozen=True, kw_only=True):
    """What was asked for, and what the server says is in force (None before the first `session.created`).

    `refused` tells by field why the server did not take what was asked for.
    """

    wanted: Settings
    effective: Settings | None
    refused: dict[str, str] = {}


class UpstreamView(Struct, frozen=True, kw_only=True):
    """Who answers. `label` never holds a key; `has_key` only says whether this process has one for OpenAI."""

    kind: Literal["embedded", "openai", "url"]
    url: str
    model: str
    label: str
    has_key: bool


class CallView(Struct, frozen=True, kw_only=True):
    """The connection as it truly is. `owner` is the viewer that has the microphone, empty while nobody has it.

    `vacant`: the owner's tab is closed. `reason` says in words why a call ended, `reason_code` lets the page translate it.
    """

    state: CallState = "idle"
    reason: str = ""
    reason_code: str = ""
    number: int = 0
    started_unix_ms: int = 0
    mode: Mode = "manual"
    owner: str = ""
    vacant: bool = False
    recording: bool = False
    user_speaking: bool = False
    responding: bool = False
    session_file: str = ""


class TurnCost(Struct, frozen=True, kw_only=True):
    """One response's tokens and dollars."""

    response: str
    text_in: int
    audio_in: int
    cached_in: int
    text_out: int
    audio_out: int
    usd: float
    estimated: bool


class MoneyView(Struct, frozen=True, kw_only=True):
    """The running bill of the call. `budget_usd` None: no limit. `known`: the model has a price in our table.

    `local`: the server runs here and costs nothing; its tokens are counts of its own and no provider's.
    """

    turns: tuple[TurnCost, ...]
    tokens_in: int
    tokens_out: int
    usd: float
    estimated: bool
    known: bool
    local: bool = False
    budget_usd: float | None


class WeatherView(Struct, frozen=True, kw_only=True):
    """One answer of `get_weather`; temperature in degrees Celsius, wind in km/h, None while asking or after a failure."""

    lat: float
    lng: float
    location: str
    temperature_c: float | None
    wind_kmh: float | None
    problem: str
    problem_code: str = ""


class BannerView(Struct, frozen=True, kw_only=True):
    """Something the user should know: `cause` in plain words, `step` what to do next. `code` lets the page translate."""

    id: int
    code: str
    cause: str
    step: str


class FilterHits(Struct, frozen=True, kw_only=True):
    """Rows (their `n`) that match the text filter, in order; `reset` says that earlier hits are void."""

    q: str
    reset: bool
    rows: tuple[int, ...]


class Frame(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of the feed: all that changed after revision `since`, up to `rev`. None: unchanged.

    `reset` tells the page to forget what it has (another process, or a log that was cleared).
    """

    epoch: str
    rev: int
    reset: bool = False
    you: str | None = None
    rows: tuple[EventRow, ...] = ()
    events: int | None = None
    items: tuple[ItemView, ...] = ()
    order: tuple[str, ...] | None = None
    call: CallView | None = None
    upstream: UpstreamView | None = None
    session: SessionView | None = None
    money: MoneyView | None = None
    memory: dict[str, Any] | None = None
    weather: tuple[WeatherView, ...] | None = None
    banners: tuple[BannerView, ...] | None = None
    hits: FilterHits | None = None
