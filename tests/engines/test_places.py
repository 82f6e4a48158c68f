from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engines import places


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("what is the weather in Paris", ["Paris"]),
        ("what is the weather in paris and in london", ["Paris", "London"]),
        ("New York or York", ["New York City", "York"]),
        ("new york city", ["New York City"]),
        ("sao paulo, SÃO PAULO", ["São Paulo", "São Paulo"]),
        ("St. Petersburg", ["Saint Petersburg"]),
        ("Cologne is not naples", ["Köln", "Naples"]),
        ("서울 날씨 어때?", ["Seoul"]),
        ("파리에서 뉴욕까지", ["Paris", "New York City"]),
        ("부산시는 어때요", ["Busan"]),
        ("", []),
        ("no place at all here", []),
    ],
)
def test_finds_places_in_order(text: str, names: list[str]) -> None:
    assert [place.name for place in places.find(text)] == names


@pytest.mark.parametrize(
    "text",
    [
        "that is nice of you",
        "the mobile phone of the man",
        "I will wait in the reading room",
        "my favorite color is orange",
        "what is the date",
        "call me at five",
        "we do as we like",
        "고양이가 좋아요",
        "구리 반지를 사자",
    ],
)
def test_common_words_are_no_places(text: str) -> None:
    assert places.find(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Nice",
        "the weather in nice",
        "the weather in nice and how are you",
        "how is it in Nice today?",
        "I love Nice, too",
    ],
)
def test_a_common_word_is_a_place_where_the_sentence_says_so(text: str) -> None:
    assert [place.name for place in places.find(text)] == ["Nice"]


def test_most_populous_wins_and_coordinates_are_right() -> None:
    (paris,) = places.find("paris")
    assert (paris.country, paris.korean) == ("FR", "파리")
    assert paris.lat == pytest.approx(48.85, abs=0.05)
    assert paris.lng == pytest.approx(2.35, abs=0.05)
    assert paris.population > 2_000_000


def test_spans_cover_the_name_without_its_particle() -> None:
    text = "내일 서울에서 봐요"
    (found,) = places.find_spans(text)
    assert text[found.start : found.end] == "서울"


def test_spoken_names_are_speakable_and_most_populous_first() -> None:
    names = places.spoken(1000)
    assert len(names) == len(set(names)) == 1000
    assert all(re.fullmatch(r"[a-z']+( [a-z']+)*", name) for name in names)
    assert {"paris", "london", "new york", "sao paulo", "seoul"} <= set(names)
    assert names.index("shanghai") < names.index("paris")
    assert places.spoken(10) == names[:10]
    assert places.spoken(0) == ()


@given(st.text(max_size=60))
def test_any_text_gives_spans_inside_it(text: str) -> None:
    for found in places.find_spans(text):
        assert 0 <= found.start < found.end <= len(text)


def test_the_table_is_read_on_first_use_only() -> None:
    code = "from duologue.engines import places; print(places._table.cache_info().currsize)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n"
