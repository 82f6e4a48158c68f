"""Keeps the house as designed: floors, purity, files matched by tests, no function or module out of hand."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "duologue"
FLOORS = {
    "errors": 1, "clock": 1, "ids": 1,
    "audio": 2,
    "protocol": 3,
    "dialogue": 4, "access": 4,
    "transports": 5, "engines": 5,
    "client": 6, "relay": 6, "server": 6,
    "agents": 7, "inspector": 7,
    "console": 8, "testing": 8,
    "cli": 9,
}  # fmt: skip
PURE = {
    "errors",
    *(f"audio/{name}" for name in (
        "spec", "pcm16", "g711", "resample", "wav", "widen", "packer", "playout", "spectrum", "track",
    )),
    "protocol/*",
    "dialogue/*",
    "access/*",
    "transports/phone_line", "transports/carriers/*",
    *(f"engines/{name}" for name in ("melody", "phrases", "silero_model")),
    *(f"server/{name}" for name in (
        "inputs", "commands", "input_buffer", "turn", "endpoint", "response", "session", "listening", "conversation",
        "config", "mcp", "remote",
        "plan", "usage", "heard", "clauses", "rules", "outbox", "bucket", "captions", "transcripts", "formats", "window",
        "responses", "turns", "cleaning", "item_check", "admission", "offers", "dialects", "reach", "sounds",
    )),
    *(f"relay/{name}" for name in (
        "budget", "callers", "commands", "deltas", "hidden_tools", "inbound", "limits", "locks", "outbound", "policy",
        "scrub", "settings", "shapes", "supervise",
    )),
    *(f"client/{name}" for name in ("conversation", "items", "payloads", "settings", "speech")),
    *(f"console/{name}" for name in (
        "endings", "feed", "frames", "items", "notices", "panel", "purse", "settings", "sound",
    )),
    *(f"engines/{name}" for name in ("places", "speech_grammar")),
    *(f"engines/scripted/{name}" for name in (
        "arithmetic", "fill", "hints", "match", "orders", "questions", "respond", "results", "schema", "smalltalk",
        "values", "words",
    )),
}  # fmt: skip
IMPURE_MODULES = {
    "asyncio", "socket", "threading", "multiprocessing", "subprocess", "time", "random", "secrets", "httpx",
    "websockets", "starlette", "uvicorn", "select", "signal",
}  # fmt: skip
ALLOWED_IMPURE = {("access/origins", "secrets")}
MODULE_LINES = 450
FUNCTION_LINES = 60
PARAMETERS = 8

FILES = sorted(path for path in SOURCE.rglob("*.py") if "node_modules" not in path.parts)


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(tree: ast.Module) -> list[str]:
    """All that the file imports, for annotations only and inside functions too."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    here = name_of(path).split("/")[0]
    if here in ("__init__", "__main__"):
        return
    for module in imports(tree_of(path)):
        parts = module.split(".")
        if parts[0] != "duologue" or len(parts) < 2 or parts[1] not in FLOORS or parts[1] == here:
            continue
        assert FLOORS[parts[1]] < FLOORS[here], f"{name_of(path)} (floor {FLOORS[here]}) imports {module}"


def is_pure(name: str) -> bool:
    """Listed here, so that the mark cannot be dropped by the way, or said in the module's own docstring."""
    listed = name in PURE or f"{name.rsplit('/', 1)[0]}/*" in PURE
    return listed or "Pure" in (ast.get_docstring(tree_of(SOURCE / f"{name}.py")) or "")


@pytest.mark.parametrize("path", [path for path in FILES if is_pure(name_of(path))], ids=name_of)
def test_machines_are_pure(path: Path) -> None:
    name = name_of(path)
    for node in ast.walk(tree_of(path)):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{name} awaits"
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            impure = {m.split(".")[0] for m in modules} & IMPURE_MODULES
            assert not {m for m in impure if (name, m) not in ALLOWED_IMPURE}, f"{name} imports {impure}"


def test_every_pure_name_exists() -> None:
    names = {name_of(path) for path in FILES}
    for pure in PURE:
        assert pure in names or any(name.startswith(pure.removesuffix("*")) for name in names), pure


def only_declares(name: str) -> bool:
    """Interfaces and values have nothing to run; `__init__` and the data beside an engine are tested with it."""
    declarations = {
        "errors",
        "clock",
        "server/inputs",
        "server/commands",
        "transports/base",
        "audio/port",
        "engines/base",
    }
    return name in declarations or name.endswith("__init__")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_has_its_test(path: Path) -> None:
    name = name_of(path)
    if only_declares(name):
        return
    folder, _, stem = name.rpartition("/")
    home = ROOT / "tests" / folder
    direct = home / f"test_{stem}.py"
    package = home.parent / f"test_{home.name}.py"
    mentions = [t for t in home.glob("test_*.py") if f"duologue.{name.replace('/', '.')}" in t.read_text()]
    assert direct.exists() or package.exists() or mentions, f"no test for {name}: write {direct.relative_to(ROOT)}"


def test_no_cancellation_is_lost() -> None:
    """Up to Python 3.11 `wait_for` may swallow a cancellation that comes with the result: use `asyncio.timeout`."""
    users = [name_of(path) for path in FILES if "asyncio.wait_for(" in path.read_text()]
    assert users == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_grows_out_of_hand(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MODULE_LINES, f"{name_of(path)} has {len(text.splitlines())} lines: take it apart"
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        lines = (node.end_lineno or 0) - node.lineno + 1
        assert lines <= FUNCTION_LINES, f"{name_of(path)}:{node.lineno} {node.name} has {lines} lines"
        if node.name == "__init__":
            count = len(node.args.args) + len(node.args.kwonlyargs) - 1
            assert count <= PARAMETERS, f"{name_of(path)}:{node.lineno} takes {count} parameters"


def test_tasks_have_owners() -> None:
    """A loose task dies silently: tasks are made by a TaskGroup, or kept and named."""
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            where = f"{name_of(path)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Attribute | ast.Name | ast.alias):
                assert "ensure_future" not in ast.unparse(node), f"{where} ensure_future names nothing"
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                called = ast.unparse(node.value.func)
                owned = not called.endswith("create_task") or called.removesuffix(".create_task").endswith("group")
                assert owned, f"{where} nobody keeps this task"
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("create_task"):
                assert any(keyword.arg == "name" for keyword in node.keywords), f"{where} this task has no name"


def test_no_registry_is_named() -> None:
    """Lock files carry versions and hashes, never where they were found."""
    for lock in ROOT.glob("requirements/*.txt"):
        assert "://" not in lock.read_text(), lock
    for folder in (SOURCE / "console" / "page", ROOT / "tests" / "compat" / "node"):
        assert '"resolved"' not in (folder / "package-lock.json").read_text(), folder
