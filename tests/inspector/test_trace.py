from __future__ import annotations

import stat
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from duologue.errors import ConfigError
from duologue.inspector.trace import Trace, model_audio, read, read_header, user_audio


class Ticks:
    def __init__(self) -> None:
        self.now = 1000

    def __call__(self) -> int:
        self.now += 5
        return self.now


def trace_in(folder: Path) -> Trace:
    return Trace(folder / "new" / "one.duologue", {"model": "m"}, started_unix_ms=77, clock=Ticks())


def test_what_was_recorded_is_read_back_in_order(tmp_path: Path) -> None:
    trace = trace_in(tmp_path)
    trace.record("sent", b'{"type":"session.update"}', trace.zero_ms + 5)
    trace.record("received", '{"type":"session.updated","text":"grüße"}', trace.zero_ms + 10)
    trace.note("heard", {"item_1": 120})
    trace.close()
    assert read_header(trace.path) == {"duologue": 1, "started_unix_ms": 77, "model": "m"}
    entries = list(read(trace.path))
    assert [(entry.ms, entry.by, entry.raw.decode()) for entry in entries[:2]] == [
        (5, "client", '{"type":"session.update"}'),
        (10, "server", '{"type":"session.updated","text":"grüße"}'),
    ]
    assert (entries[2].note, entries[2].data) == ("heard", {"item_1": 120})


def test_a_frame_over_several_lines_and_one_that_is_no_json_keep_one_line_each(tmp_path: Path) -> None:
    trace = trace_in(tmp_path)
    trace.append("server", b'{\r\n "type": "x"\n}', 1010)
    trace.append("client", b"\xff not json\n at all", 1010)
    trace.close()
    first, second = read(trace.path)
    assert first.raw.replace(b" ", b"") == b'{"type":"x"}'
    assert second.raw == "\N{REPLACEMENT CHARACTER} not json\n at all".encode()


def test_frames_are_found_again_by_offset_also_after_close(tmp_path: Path) -> None:
    trace = trace_in(tmp_path)
    offsets = [trace.append("server", b'{"n":%d}' % number, 1010) for number in range(50)]
    trace.close()
    assert trace.frame_at(offsets[17]) == b'{"n":17}'
    assert trace.frame_at(-1) == b""
    assert trace.append("server", b"{}", 1010) == -1


def test_every_line_is_in_the_file_at_once_and_a_torn_last_line_is_ignored(tmp_path: Path) -> None:
    trace = trace_in(tmp_path)
    trace.append("server", b'{"n":1}', 1010)
    trace.append("server", b'{"n":2}', 1010)
    whole = trace.path.read_bytes()
    torn = tmp_path / "torn.duologue"
    torn.write_bytes(whole[:-4])
    assert [entry.raw for entry in read(torn)] == [b'{"n":1}']
    assert len(list(read(trace.path))) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_line_that_a_full_disk_cut_spoils_no_other(tmp_path: Path) -> None:
    import resource

    trace = trace_in(tmp_path)
    trace.append("server", b'{"n":1}', 1010)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (trace.path.stat().st_size + 9, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            trace.append("server", b'{"n":2}', 1010)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    third = trace.append("server", b'{"n":3}', 1010)
    assert trace.frame_at(third) == b'{"n":3}'
    assert [entry.raw for entry in read(trace.path)] == [b'{"n":1}', b'{"n":3}']


def test_sound_of_both_sides_is_reachable(tmp_path: Path) -> None:
    trace = trace_in(tmp_path)
    for word in (b"ab", b"cd"):
        trace.append("client", b'{"type":"input_audio_buffer.append","audio":"%s"}' % b64encode(word), 1010)
        delta = b'{"type":"response.output_audio.delta","item_id":"item_%s","delta":"%s"}'
        trace.append("server", delta % (word[:1], b64encode(word * 2)), 1010)
    trace.close()
    assert user_audio(read(trace.path)) == b"abcd"
    assert model_audio(read(trace.path)) == b"ababcdcd"
    assert model_audio(read(trace.path), "item_c") == b"cdcd"


def test_only_the_owner_may_read_it_and_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    trace = trace_in(tmp_path)
    assert stat.S_IMODE(trace.path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        trace_in(tmp_path)
    trace.close()


@pytest.mark.parametrize("content", ["", "hello\n", '{"duologue": 99}\n', "[1]\n"])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x"
    path.write_text(content)
    with pytest.raises(ConfigError):
        list(read(path))
