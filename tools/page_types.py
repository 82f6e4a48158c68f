"""Write the page's TypeScript types from the Python structs that it is sent: `python tools/page_types.py [--check]`."""

from __future__ import annotations

import inspect
import sys
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

TARGET = Path(__file__).parent.parent / "src" / "duologue" / "console" / "page" / "src" / "types.gen.ts"
_SCALARS = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null", Any: "unknown"}


def typescript(hint: Any) -> str:
    """The TypeScript spelling of a Python type hint."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " | ".join(f'"{value}"' for value in args)
    if origin in (Union, types.UnionType):
        return " | ".join(typescript(part) for part in args)
    if origin is tuple:
        inner = typescript(args[0])
        return f"({inner})[]" if "|" in inner else f"{inner}[]"
    if origin is dict:
        return f"Record<string, {typescript(args[1])}>"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint.__name__
    raise TypeError(f"no TypeScript for {hint!r}")


def interface(struct: type[msgspec.Struct]) -> str:
    """One struct as a TypeScript interface; fields that Python leaves out when unchanged are optional."""
    hints = get_type_hints(struct)
    optional = struct.__struct_config__.omit_defaults
    lines = []
    for field in msgspec.structs.fields(struct):
        missing = optional and not field.required
        kinds = typescript(hints[field.name])
        if missing:
            kinds = kinds.removesuffix(" | null")
        lines.append(f"  {field.name}{'?' if missing else ''}: {kinds};")
    doc = inspect.getdoc(struct) or ""
    comment = "/** " + doc.replace("\n", "\n * ").replace(" * \n", " *\n") + (" */" if "\n" not in doc else "\n */")
    return f"{comment}\nexport interface {struct.__name__} {{\n" + "\n".join(lines) + "\n}\n"


def generate() -> str:
    """The whole file."""
    from duologue.console import views

    structs = [
        value
        for value in vars(views).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == views.__name__
    ]
    head = "// Made by tools/page_types.py from duologue/console/views.py; do not edit.\n\n"
    return head + "\n".join(interface(struct) for struct in structs)


def main() -> int:
    """Write the file, or with `--check` only say whether it is up to date."""
    text = generate()
    if "--check" in sys.argv[1:]:
        fresh = TARGET.is_file() and TARGET.read_text() == text
        if not fresh:
            print(f"{TARGET} is out of date: run python tools/page_types.py", file=sys.stderr)
        return 0 if fresh else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
