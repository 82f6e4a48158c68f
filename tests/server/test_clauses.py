"""Text cut into clauses to speak."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from duologue.server.clauses import LONGEST, ClauseSplitter


def split(text: str, step: int = 3) -> list[str]:
    splitter = ClauseSplitter()
    out: list[str] = []
    for start in range(0, len(text), step):
        out += splitter.feed(text[start : start + step])
    return out + splitter.flush()


@given(st.text(alphabet="ab .,!?;:\n1Dr。、한", max_size=600), st.integers(1, 50))
def test_every_character_comes_out_once_and_no_clause_is_too_long(text: str, step: int) -> None:
    clauses = split(text, step)
    assert "".join(clauses) == text
    assert all(len(clause) <= LONGEST + step for clause in clauses)


def test_the_first_clause_is_short_and_later_ones_are_not() -> None:
    assert split("Well of course, I will look, and then I will say what I found, as ever.") == [
        "Well of course,",
        " I will look, and then I will say what I found,",
        " as ever.",
    ]


def test_numbers_and_abbreviations_do_not_end_a_sentence() -> None:
    assert split("It is 21.5 degrees. Dr. Kim says so.") == ["It is 21.5 degrees.", " Dr. Kim says so."]


def test_korean_and_japanese_marks_end_a_sentence() -> None:
    assert split("안녕하세요. 반갑습니다.") == ["안녕하세요.", " 반갑습니다."]
    assert split("こんにちは。元気ですか。") == ["こんにちは。", "元気ですか。"]
