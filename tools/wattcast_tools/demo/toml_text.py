"""Write plain tables as TOML (the standard library only reads it)."""

import json
from collections.abc import Mapping
from typing import Any


def dumps(table: Mapping[str, Any]) -> str:
    """TOML text of a table whose values are scalars, lists, tables or lists of tables."""
    return "\n".join(_lines(table, "")) + "\n"


def _lines(table: Mapping[str, Any], name: str) -> list[str]:
    lines = [f"{k} = {_value(v)}" for k, v in table.items() if not _is_table(v)]
    for key, value in table.items():
        path = f"{name}.{key}" if name else key
        if isinstance(value, Mapping):
            lines += ["", f"[{path}]", *_lines(value, path)]
        elif _is_table(value):
            for item in value:
                lines += ["", f"[[{path}]]", *_lines(item, path)]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Mapping)
    )


def _value(value: Any) -> str:
    # JSON's strings, numbers, booleans and flat lists are TOML too.
    return json.dumps(value)
