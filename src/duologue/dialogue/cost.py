"""What a response costs: usage times a dated price table. Pure.

Prices change without notice, so every figure is an estimate and says of which day its table is.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

import msgspec
from msgspec import Struct

from duologue.errors import ConfigError
from duologue.protocol.responses import (
    CachedTokens,
    DurationUsage,
    InputTokens,
    OutputTokens,
    TranscriptionUsage,
    Usage,
)

_DATED = re.compile(r"-(preview(-\d{4}-\d\d-\d\d)?|\d{4}-\d\d-\d\d)$")
_MILLION = 1_000_000


class Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars per million tokens of one model; all zero for one that runs locally."""

    text_in: float = 0.0
    text_cached: float = 0.0
    text_out: float = 0.0
    audio_in: float = 0.0
    audio_cached: float = 0.0
    audio_out: float = 0.0
    image_in: float = 0.0


class PriceTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices by model, as of a day; `minutes`: dollars per minute of transcription."""

    as_of: str
    models: dict[str, Price] = {}
    minutes: dict[str, float] = {}

    def price(self, model: str) -> Price | None:
        """The price of a model; a dated name (`…-2025-08-28`) has that of its family. None where it is not known."""
        return self.models.get(model) or self.models.get(_DATED.sub("", model))


class Cost(Struct, frozen=True, kw_only=True):
    """Dollars of one response, by kind."""

    input_usd: float = 0.0
    cached_usd: float = 0.0
    output_usd: float = 0.0

    @property
    def usd(self) -> float:
        return self.input_usd + self.cached_usd + self.output_usd


class Totals(Struct, frozen=True, kw_only=True):
    """A session so far. `input_tokens` includes `cached_tokens`; `usd` is the sum of the four kinds below it and covers
    what could be priced; `unpriced` counts responses and transcripts that could not."""

    responses: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    input_usd: float = 0.0
    cached_usd: float = 0.0
    output_usd: float = 0.0
    transcription_usd: float = 0.0
    unpriced: int = 0

    def plus(self, usage: Usage | None, cost: Cost | None) -> Totals:
        """With one more response."""
        if usage is None:
            return self
        details = usage.input_token_details
        paid = cost or Cost()
        return msgspec.structs.replace(
            self,
            responses=self.responses + 1,
            input_tokens=self.input_tokens + usage.input_tokens,
            cached_tokens=self.cached_tokens + (details.cached_tokens if isinstance(details, InputTokens) else 0),
            output_tokens=self.output_tokens + usage.output_tokens,
            usd=self.usd + paid.usd,
            input_usd=self.input_usd + paid.input_usd,
            cached_usd=self.cached_usd + paid.cached_usd,
            output_usd=self.output_usd + paid.output_usd,
            unpriced=self.unpriced + (cost is None),
        )

    def plus_transcription(self, usd: float | None) -> Totals:
        """With one more transcript; None where it could not be priced."""
        return msgspec.structs.replace(
            self,
            usd=self.usd + (usd or 0.0),
            transcription_usd=self.transcription_usd + (usd or 0.0),
            unpriced=self.unpriced + (usd is None),
        )


@cache
def default_prices() -> PriceTable:
    """The table that comes with the package."""
    return parse_prices(files(__package__).joinpath("prices.toml").read_text(encoding="utf-8"))


def parse_prices(text: str) -> PriceTable:
    """A table of one's own, in the form of `prices.toml`. Raises ConfigError."""
    # tomllib is imported here: who prices nothing does not pay its import.
    import tomllib

    try:
        return msgspec.convert(tomllib.loads(text), PriceTable)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as problem:
        raise ConfigError(f"the price table does not fit: {problem}") from None


def cost_of(usage: Usage, model: str, table: PriceTable) -> Cost | None:
    """What one response cost; None for a model without a price. Cached tokens are part of the input and priced apart."""
    price = table.price(model)
    if price is None:
        return None
    details = usage.input_token_details
    read = details if isinstance(details, InputTokens) else InputTokens(text_tokens=usage.input_tokens)
    cached = read.cached_tokens_details
    if not isinstance(cached, CachedTokens):
        cached = CachedTokens(text_tokens=min(read.cached_tokens, read.text_tokens))
    spoken = usage.output_token_details
    said = spoken if isinstance(spoken, OutputTokens) else OutputTokens(text_tokens=usage.output_tokens)
    fresh = (
        max(0, read.text_tokens - cached.text_tokens) * price.text_in
        + max(0, read.audio_tokens - cached.audio_tokens) * price.audio_in
        + read.image_tokens * price.image_in
    )
    reused = cached.text_tokens * price.text_cached + cached.audio_tokens * price.audio_cached
    output = said.text_tokens * price.text_out + said.audio_tokens * price.audio_out
    return Cost(input_usd=fresh / _MILLION, cached_usd=reused / _MILLION, output_usd=output / _MILLION)


def transcription_cost(usage: TranscriptionUsage, model: str, table: PriceTable) -> float | None:
    """Dollars of one transcript billed by time; None where it is billed by tokens or the model has no price."""
    per_minute = table.minutes.get(model)
    if per_minute is None or not isinstance(usage, DurationUsage):
        return None
    return usage.seconds / 60 * per_minute
