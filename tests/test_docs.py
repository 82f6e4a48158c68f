"""The READMEs tell the truth: their lines run, and what they name exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from duologue.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
READMES = ["README.md", "README.ko.md"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """`duologue serve` on a free port."""
    command = [sys.executable, "-m", "duologue.cli.main", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


@pytest.mark.parametrize("name", READMES)
def test_the_ten_lines_run_as_they_stand(name: str, address: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    assert "ws://127.0.0.1:8000/v1/realtime" in code
    here = code.replace("ws://127.0.0.1:8000/v1/realtime", address)
    out = subprocess.run([sys.executable, "-c", here], capture_output=True, text=True, timeout=60, check=False)
    assert out.returncode == 0, out.stderr
    assert re.search(r"it said: \S.* \(\d{4,} bytes of speech\)", out.stdout), out.stdout


@pytest.mark.parametrize("name", READMES)
def test_what_a_readme_names_exists(name: str) -> None:
    text = (ROOT / name).read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / link).exists(), link
    for command in re.findall(r"`duologue (\w+)", text):
        assert command in COMMANDS, command
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"make ([a-z-]+)", text):
        assert target in targets, target


def test_both_readmes_say_the_same() -> None:
    def shape(name: str) -> list[str]:
        return re.findall(r"^(#+|```\w*|\|)", (ROOT / name).read_text(), re.MULTILINE)

    assert shape("README.md") == shape("README.ko.md")


def test_decisions_are_numbered_and_whole() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1)), os.listdir(
        ROOT / "docs" / "decisions"
    )
    for page in pages:
        text = page.read_text()
        assert all(part in text for part in ("## Context", "## Choice", "## Cost")), page.name
