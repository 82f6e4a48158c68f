from __future__ import annotations

from pathlib import Path

from duologue.console.recording import Recording, new_trace
from duologue.console.upstream import Upstream, parse_upstream
from duologue.inspector.trace import read_header


def test_each_call_has_a_file_that_tells_who_answered_but_no_key(tmp_path: Path) -> None:
    first = new_trace(tmp_path, Upstream())
    second = new_trace(tmp_path, parse_upstream("wss://relay.example/v1/realtime?key=secret&model=m"))
    first.close()
    second.close()
    assert first.path != second.path
    assert read_header(first.path)["upstream"] == "embedded"
    header = read_header(second.path)
    assert (header["upstream"], header["model"]) == ("wss://relay.example/v1/realtime", "m")
    assert "secret" not in second.path.read_text()


def test_a_folder_that_cannot_be_written_is_told_once_a_call(tmp_path: Path) -> None:
    blocked = tmp_path / "sessions"
    blocked.write_text("a file where the folder should be")
    problems: list[OSError] = []
    recording = Recording(blocked, problems.append)
    for call in (1, 2):
        recording.begin(Upstream())
        assert recording.frame("client", b"{}", 10) == -1
        recording.note("heard", [])
        assert recording.path == ""
        assert recording.frame_at(-1) == b""
        recording.close()
        assert len(problems) == call


def test_a_disk_that_fills_up_is_told_once_and_what_was_kept_stays(tmp_path: Path) -> None:
    problems: list[OSError] = []
    recording = Recording(tmp_path, problems.append)
    recording.begin(Upstream())
    kept = recording.frame("client", b'{"type":"a"}', 10)
    assert recording._trace is not None
    recording._trace._file = open("/dev/full", "r+b", buffering=0)  # noqa: SIM115
    assert [recording.frame("server", b"{}", 10) for _ in range(3)] == [-1, -1, -1]
    recording.note("heard", [])
    assert [problem.strerror for problem in problems] == ["No space left on device"]
    assert recording.frame_at(kept) == b'{"type":"a"}'
    recording.close()
