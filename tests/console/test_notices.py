from __future__ import annotations

from duologue.console.feed import Feed
from duologue.console.notices import SHOWN, Notices


def causes(feed: Feed) -> list[str]:
    return [banner.cause for banner in feed.section("banners")]


def test_the_same_cause_shows_once_and_the_oldest_gives_way() -> None:
    feed = Feed("e")
    notices = Notices(feed)
    for number in range(SHOWN + 1):
        notices.add(f"x{number}", f"cause {number}", "step")
    notices.add("y", "cause 2", "step")
    notices.add("x1", "cause 1, again", "step")
    assert "y" not in [banner.code for banner in feed.section("banners")]
    assert causes(feed) == ["cause 2", "cause 3", "cause 1, again"]


def test_what_works_again_has_no_banner() -> None:
    feed = Feed("e")
    notices = Notices(feed)
    notices.add("x", "one", "")
    notices.add("y", "two", "")
    notices.solved("x", "z")
    assert causes(feed) == ["two"]


def test_a_banner_is_closed_by_its_number() -> None:
    feed = Feed("e")
    notices = Notices(feed)
    notices.add("x", "one", "")
    notices.add("y", "two", "")
    notices.close(feed.section("banners")[0].id)
    assert causes(feed) == ["two"]
    notices.close(99)
    notices.clear()
    assert causes(feed) == []
