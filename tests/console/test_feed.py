from __future__ import annotations

import random

import pytest

from duologue.console.feed import Feed, Filter, LoggedEvent
from duologue.console.views import BannerView, EventRow, Frame, ItemView


def event(t_ms: int, type: str = "response.output_audio.delta", item: str = "item_1", **more: object) -> LoggedEvent:
    return LoggedEvent(**{"t_ms": t_ms, "by": "server", "type": type, "size": 10, "item": item, **more})  # type: ignore[arg-type]


def view(item_id: str, text: str = "") -> ItemView:
    return ItemView(
        id=item_id, kind="message", role="user", status="completed", text=text, unheard="", awaiting_transcript=False,
        tool=None, output="", audio_ms=0, heard_ms=0, cut_ms=None, problem="",
    )  # fmt: skip


class Viewer:
    """Rebuilds the state from frames, as the page does."""

    def __init__(self) -> None:
        self.rev = 0
        self.rows: list[EventRow] = []
        self.items: dict[str, ItemView] = {}
        self.order: tuple[str, ...] = ()

    def take(self, frame: Frame) -> None:
        if frame.reset:
            self.__init__()  # type: ignore[misc]
        for row in frame.rows:
            self.rows[row.n :] = [row]
        self.items |= {item.id: item for item in frame.items}
        if frame.order is not None:
            self.order = frame.order
        self.rev = frame.rev

    def catch_up(self, feed: Feed) -> None:
        while self.rev != feed.rev:
            self.take(feed.since(self.rev))


def test_events_fold_by_type_item_and_response_with_the_true_count() -> None:
    feed = Feed("e")
    for moment in range(3):
        feed.record(event(moment))
    feed.record(event(3, item="item_2"))
    feed.record(event(4, item="item_2", response="resp_2"))
    feed.record(event(5, type="response.done", item="item_2", response="resp_2"))
    rows = feed.since(0).rows
    assert [(row.type, row.item, row.count) for row in rows] == [
        ("response.output_audio.delta", "item_1", 3),
        ("response.output_audio.delta", "item_2", 1),
        ("response.output_audio.delta", "item_2", 1),
        ("response.done", "item_2", 1),
    ]
    assert (rows[0].t_ms, rows[0].last_ms, rows[0].size) == (0, 2, 30)
    assert [child.n for child in feed.children(0, 1, 10)] == [1, 2]


def test_errors_are_never_folded_away() -> None:
    feed = Feed("e")
    feed.record(event(0, type="error"))
    feed.record(event(1, type="error"))
    assert len(feed.since(0).rows) == 2


def test_a_viewer_that_lost_its_socket_goes_on_where_it_was() -> None:
    feed = Feed("e")
    viewer = Viewer()
    feed.record(event(0))
    viewer.catch_up(feed)
    feed.record(event(1))
    frame = feed.since(viewer.rev)
    assert [row.count for row in frame.rows] == [2]
    assert not frame.reset


def test_the_microphone_splits_no_answer_and_every_event_stays_in_its_row() -> None:
    feed = Feed("e")
    viewer = Viewer()
    for moment in range(0, 400, 40):
        feed.record(event(moment))
        feed.record(event(moment + 20, type="input_audio_buffer.append", by="client", item=""))
        viewer.catch_up(feed)
    assert [(row.type, row.count) for row in viewer.rows] == [
        ("response.output_audio.delta", 10),
        ("input_audio_buffer.append", 10),
    ]
    assert [child.n for child in feed.children(0, 8, 5)] == [16, 18]
    assert [child.n for child in feed.children(1, 0, 2)] == [1, 3]
    hits = Filter("append").advance(feed)
    assert hits is not None
    assert hits.rows == (1,)
    feed.record(event(5_000))  # after a pause it is a line of its own: the list stays in the order of time
    assert [row.count for row in feed.since(0).rows] == [10, 10, 1]
    feed.record(event(5_010, type="response.done"))
    feed.record(event(5_020))
    assert [row.count for row in feed.since(0).rows] == [10, 10, 1, 1, 1]


def test_a_big_log_comes_in_several_frames_and_is_whole() -> None:
    feed = Feed("e")
    for number in range(5500):
        feed.record(event(number, item=f"item_{number}"))
        if number % 1000 == 0:
            feed.put_item(view(f"item_{number}"))
    viewer = Viewer()
    first = feed.since(0)
    assert len(first.rows) == 2000
    assert first.rev < feed.rev
    viewer.catch_up(feed)
    assert len(viewer.rows) == 5500
    assert len(viewer.items) == 6


def test_clearing_resets_every_viewer_and_keeps_sections() -> None:
    feed = Feed("e")
    feed.show("banners", (BannerView(id=1, code="x", cause="c", step="s"),))
    feed.record(event(0))
    viewer = Viewer()
    viewer.catch_up(feed)
    feed.clear()
    frame = feed.since(viewer.rev)
    assert frame.reset
    assert frame.banners is not None
    assert frame.rows == ()


def test_a_revision_from_another_process_resets() -> None:
    assert Feed("e").since(99).reset


def test_unknown_section_is_refused() -> None:
    with pytest.raises(KeyError):
        Feed("e").show("nonsense", ())


def test_equal_values_make_no_traffic() -> None:
    feed = Feed("e")
    feed.show("memory", {"a": 1})
    feed.put_item(view("item_1"))
    before = feed.rev
    feed.show("memory", {"a": 1})
    feed.put_item(view("item_1"))
    assert feed.rev == before


@pytest.mark.parametrize("seed", range(20))
def test_any_two_viewers_end_up_with_the_same(seed: int) -> None:
    """However the frames are cut, a viewer that looks often and one that looks once see the same state."""
    dice = random.Random(seed)
    feed = Feed("e")
    eager, lazy = Viewer(), Viewer()
    ids: list[str] = []
    for step in range(400):
        match dice.randrange(8):
            case 0:
                ids.insert(dice.randrange(len(ids) + 1), f"item_{step}")
                feed.put_item(view(ids[-1]))
                feed.put_item(view(f"item_{step}"))
                feed.set_order(tuple(ids))
            case 1 if ids:
                ids.remove(dice.choice(ids))
                feed.set_order(tuple(ids))
            case 2 if ids:
                feed.put_item(view(dice.choice(ids), f"text {step}"))
            case 3 if dice.random() < 0.05:
                feed.clear()
                ids.clear()
            case _:
                feed.record(event(step, item=dice.choice(["a", "b"])))
        if dice.random() < 0.5:
            eager.catch_up(feed)
    eager.catch_up(feed)
    lazy.catch_up(feed)
    assert eager.rows == lazy.rows
    assert sum(row.count for row in lazy.rows) == len(feed.events)
    assert eager.order == lazy.order == tuple(ids)
    assert {key: eager.items[key] for key in ids} == {key: lazy.items[key] for key in ids}


def test_filter_finds_rows_by_any_of_their_events_and_goes_on_as_the_log_grows() -> None:
    feed = Feed("e")
    feed.record(event(0, text='{"delta":"Bon"}'))
    feed.record(event(1, text='{"delta":"jour"}'))
    feed.record(event(2, type="response.done"))
    chosen = Filter("JOUR")
    hits = chosen.advance(feed)
    assert hits is not None
    assert (hits.reset, hits.rows) == (True, (0,))
    assert chosen.advance(feed) is None
    feed.record(event(3, type="error", text="jour"))
    again = chosen.advance(feed)
    assert again is not None
    assert (again.reset, again.rows) == (False, (2,))


def test_filter_starts_over_after_a_clear() -> None:
    feed = Feed("e")
    for number in range(3):
        feed.record(event(number, item=f"item_{number}"))
    chosen = Filter("item_")
    assert chosen.advance(feed) is not None
    feed.clear()
    feed.record(event(0, item="item_9"))
    hits = chosen.advance(feed)
    assert hits is not None
    assert (hits.reset, hits.rows) == (True, (0,))


def test_filter_notices_a_clear_even_if_the_log_has_grown_again() -> None:
    feed = Feed("e")
    feed.record(event(0, item="item_0"))
    chosen = Filter("item_")
    assert chosen.advance(feed) is not None
    feed.clear()
    for number in range(3):
        feed.record(event(number, item=f"item_{number}"))
    hits = chosen.advance(feed)
    assert hits is not None
    assert (hits.reset, hits.rows) == (True, (0, 1, 2))
