from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from duologue.cli.quiet import quiet_libraries

os.write(2, b"before\\n")
try:
    with quiet_libraries():
        os.write(2, b"a library\\n")
        print("ours", file=sys.stderr)
        raise ValueError("within")
except ValueError as problem:
    print(problem, file=sys.stderr)
os.write(2, b"after\\n")
"""


def test_only_what_python_writes_is_seen() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stderr.split() == ["before", "ours", "within", "after"]


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell closes the descriptor")
def test_without_a_stderr_it_does_nothing() -> None:
    program = "from duologue.cli.quiet import quiet_libraries\nwith quiet_libraries(): print('done')"
    command = 'exec "$0" -c "$1" 2>&-'
    ran = subprocess.run(["sh", "-c", command, sys.executable, program], capture_output=True, timeout=30, check=True)
    assert ran.stdout.strip() == b"done"
