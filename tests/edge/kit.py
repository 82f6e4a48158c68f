"""Pyodide, the wheels for it and the core as files: what a page or a Worker that runs Python is made of."""

from __future__ import annotations

import zipfile
from pathlib import Path

from peers import node_modules, pyodide_wheels

SOURCE = Path(__file__).parents[2] / "src" / "duologue"
RUNTIME = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")


def pyodide_files() -> dict[str, Path]:
    """The runtime and the two compiled packages that the core needs, by the names under which they are served."""
    folder = node_modules().parent / "pyodide"
    found = {name: folder / name for name in RUNTIME}
    for wheel in pyodide_wheels():
        found[f"{wheel.name.split('-')[0]}.whl"] = wheel
    return found


def core(path: Path) -> Path:
    """The package as a zip, as it lies in the checkout."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for file in sorted(SOURCE.rglob("*.py")):
            if "node_modules" not in file.parts:
                out.write(file, file.relative_to(SOURCE.parent))
        for file in sorted((SOURCE / "dialogue").glob("*.toml")):
            out.write(file, file.relative_to(SOURCE.parent))
    return path
