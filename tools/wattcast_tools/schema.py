"""JSON Schema of a configuration file, from the dataclasses that read it, so that editors complete.

What a dataclass says under ``Attributes`` becomes the description of the key.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
_UNWRITTEN = (("Profile", "name"), ("Point", "template"))  # the file's name; set by the agent
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def json_schema(root: type, title: str) -> Json:
    """Schema (draft 2020-12) of files that ``strict.parse`` reads into ``root``.

    Args:
        root: a dataclass.
        title: what such a file is.
    """
    defined: dict[str, Json] = {}
    schema = _object(root, defined)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **schema,
        "$defs": dict(sorted(defined.items())),
    }


def _object(cls: Any, defined: dict[str, Json]) -> Json:
    hints, told = typing.get_type_hints(cls), _attributes(cls)
    fields = [f for f in dataclasses.fields(cls) if (cls.__name__, f.name) not in _UNWRITTEN]
    properties = {}
    for field in fields:
        kind = _kind(hints[field.name], defined)
        about = {"description": told[field.name]} if field.name in told else {}
        properties[field.name] = about | kind
    missing = dataclasses.MISSING
    required = [f.name for f in fields if f.default is missing and f.default_factory is missing]
    schema: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def _kind(hint: Any, defined: dict[str, Json]) -> Json:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_kind(a, defined) for a in args if a is not type(None)]}
    if origin is typing.Literal:
        return {"enum": [value for value in args if value != ""]}
    if origin is tuple:
        return {"type": "array", "items": _kind(args[0], defined)}
    if origin in (dict, typing.get_origin(Mapping[str, int])):
        return {"type": "object", "additionalProperties": _kind(args[1], defined)}
    if dataclasses.is_dataclass(hint):
        name = getattr(hint, "__name__", "")
        if name not in defined:
            defined[name] = {}
            defined[name] = _object(hint, defined)
        return {"$ref": f"#/$defs/{name}"}
    return {"type": _SCALARS[hint]}


def _attributes(cls: Any) -> dict[str, str]:
    """Name -> text of the docstrings' ``Attributes`` sections, those of base classes included."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        _, _, section = (base.__doc__ or "").partition("Attributes:\n")
        for entry in re.split(r"\n(?= {8}\w)", section.split("\n\n")[0]):
            name, colon, text = " ".join(entry.split()).partition(": ")
            if colon and name.isidentifier():
                found[name] = text.replace("``", "'")
    return found
