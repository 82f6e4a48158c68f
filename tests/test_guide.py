"""The guide's programs run as they stand, and print what the page says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("starlette")

ROOT = Path(__file__).parent.parent
GUIDE = ROOT / "docs" / "guide"
ADDRESS = "ws://127.0.0.1:8000/v1/realtime"
PROGRAM = re.compile(r"```python\n(?P<code>.*?)```\n\n```text\n(?P<says>.*?)```", re.DOTALL)
SERVER = re.compile(r"`duologue serve (--[^`]+)`")
PROGRAMS = [
    pytest.param(found["code"], found["says"], page.read_text(), id=f"{page.stem}-{number}")
    for page in sorted(GUIDE.glob("*.md"))
    for number, found in enumerate(PROGRAM.finditer(page.read_text()), 1)
]


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    """Addresses of `duologue serve`, by its options; started when a page asks for them."""
    with ExitStack() as running:
        yield Servers(running)


class Servers(dict[str, str]):
    def __init__(self, running: ExitStack) -> None:
        super().__init__()
        self._running = running

    def __missing__(self, options: str) -> str:
        command = [sys.executable, "-m", "duologue.cli.main", "serve", "--port", "0", *options.split()]
        process = self._running.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        self._running.callback(process.terminate)
        assert process.stdout is not None
        self[options] = process.stdout.readline().split()[-1]
        return self[options]


@pytest.mark.parametrize(("code", "says", "page"), PROGRAMS)
def test_a_program_prints_what_its_page_says(
    code: str, says: str, page: str, servers: dict[str, str], tmp_path: Path
) -> None:
    shutil.copy(ROOT / "tests" / "clips" / "seven_times_eight.wav", tmp_path / "question.wav")
    wanted = SERVER.search(page)
    address = servers[wanted[1] if wanted else ""]
    program = [sys.executable, "-c", code.replace(ADDRESS, address)]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr
    # `…` stands for what differs from machine to machine.
    expected = ".*".join(re.escape(part.strip()) for line in says.splitlines() for part in line.split("…"))
    assert re.search(expected, ran.stdout, re.DOTALL), ran.stdout


def test_every_page_has_a_program_and_every_program_an_outcome() -> None:
    pages = {page.stem for page in GUIDE.glob("*.md")} - {"coming-from"}
    assert pages == {"talk", "tools", "interrupt", "record", "resume", "budget", "azure", "transcribe", "transport"}
    for page in pages:
        text = (GUIDE / f"{page}.md").read_text()
        assert text.count("```python\n") == len(PROGRAM.findall(text)) > 0, page
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            assert (GUIDE / link).exists(), link
