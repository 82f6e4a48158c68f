"""Install the clients that the compatibility tests run in environments of their own, unless they are there already.

The beta dialect's last SDK needs older packages than its successor, so it gets `.cache/beta`; the Node clients go to
`tests/compat/node/node_modules`, and what the core needs inside Pyodide to `.cache/pyodide`, as wheels for WebAssembly.
`python tools/install_peers.py` does it all; with nothing to do it needs no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from build_page import BuildFailed, npm_command

ROOT = Path(__file__).resolve().parent.parent
BETA = ROOT / ".cache" / "beta"
BETA_LOCK = ROOT / "requirements" / "beta.txt"
WHEELS = ROOT / ".cache" / "pyodide"
WHEELS_LOCK = ROOT / "requirements" / "pyodide.txt"
WHEELS_FOR = ("pyemscripten_2026_0_wasm32", "314", "cp314")
"""Platform, Python and ABI of the Pyodide that the Node clients' lock names."""
NODE = ROOT / "tests" / "compat" / "node"


def beta_python() -> Path:
    """The interpreter of the environment that holds the beta SDK."""
    return BETA / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def node_command() -> str:
    """The Node that the peers run on: the one that builds the page."""
    return str(Path(npm_command()[0]).with_name("node.exe" if os.name == "nt" else "node"))


def installed(stamp: Path, lock: Path) -> bool:
    """True if what stands behind the stamp came from this very lock."""
    return stamp.is_file() and stamp.read_text() == lock.read_text()


def install_beta() -> None:
    """The environment of `openai` 1.109.1."""
    stamp = BETA / "lock"
    if installed(stamp, BETA_LOCK) and beta_python().exists():
        return
    print("install_peers: installing the last SDK of the beta dialect (once)", flush=True)
    venv.create(BETA, with_pip=True, clear=True)
    subprocess.run([beta_python(), "-m", "pip", "install", "-q", "--require-hashes", "-r", BETA_LOCK], check=True)
    stamp.write_text(BETA_LOCK.read_text())


def install_node() -> None:
    """The packages of the Node clients."""
    stamp, lock = NODE / "node_modules" / ".duologue-lock", NODE / "package-lock.json"
    if installed(stamp, lock):
        return
    print("install_peers: installing the Node clients (once)", flush=True)
    command = npm_command()
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    subprocess.run([*command, "ci", "--silent"], cwd=NODE, env={**os.environ, "PATH": path}, check=True)
    stamp.write_text(lock.read_text())


def install_wheels() -> None:
    """The compiled packages of the core for Python in WebAssembly."""
    stamp = WHEELS / "lock"
    if installed(stamp, WHEELS_LOCK):
        return
    print("install_peers: fetching the core's wheels for Pyodide (once)", flush=True)
    shutil.rmtree(WHEELS, ignore_errors=True)
    platform, python, abi = WHEELS_FOR
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    target = ["--platform", platform, "--python-version", python, "--abi", abi, "--implementation", "cp"]
    subprocess.run([*command, *target, "-d", WHEELS, "-r", WHEELS_LOCK], check=True)
    stamp.write_text(WHEELS_LOCK.read_text())


def main() -> int:
    """The command."""
    try:
        install_beta()
        install_node()
        install_wheels()
    except (BuildFailed, subprocess.CalledProcessError, OSError) as problem:
        print(f"install_peers: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
