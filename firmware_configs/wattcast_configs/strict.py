"""Strict TOML into frozen dataclasses: every wrong key or type is an error with a remedy."""

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from wattcast_core.errors import ConfigError

T = TypeVar("T")


def read(path: Path, schema: type[T]) -> T:
    """Read a TOML file into ``schema``.

    Raises:
        ConfigError: file missing or not TOML, key unknown (with a suggestion) or missing,
            value of the wrong type. The text starts with the file and the key.
    """
    return parse(read_toml(path), schema, str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; ConfigError names file and line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def parse(table: Mapping[str, Any], schema: type[T], place: str) -> T:
    """Turn a table into a dataclass; list fields come from arrays of the field's name."""
    hints = typing.get_type_hints(schema)
    fields = {f.name: f for f in dataclasses.fields(schema)}  # type: ignore[arg-type]  # T is a dataclass by contract
    for key in table:
        if key not in fields:
            raise ConfigError(f"{place}: unknown key '{key}'{_suggest(key, fields)}")
    values = {}
    for name, field in fields.items():
        if name in table:
            values[name] = _convert(table[name], hints[name], f"{place}: {name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{place}: key '{name}' is missing; add it")
    try:
        return schema(**values)
    except (ValueError, ConfigError) as error:
        raise ConfigError(f"{place}: {error}") from error


def _suggest(key: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known keys: {', '.join(known)}"


def _convert(value: Any, hint: Any, place: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        hints = [a for a in args if a is not type(None)]
        if type(value) in hints:
            return value
        return _convert(value, hints[0], place)
    if origin is typing.Literal:
        hint = type(args[0])
    if origin is tuple:
        return _convert_tuple(value, args, place)
    if origin in (dict, Mapping) or origin is typing.get_origin(Mapping[str, int]):
        _check(isinstance(value, dict), value, "a table", place)
        return {k: _convert(v, args[1], f"{place}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        _check(isinstance(value, dict), value, "a table", place)
        return parse(value, hint, place)  # type: ignore[arg-type]  # is_dataclass was checked
    return _convert_scalar(value, hint, place)


def _convert_tuple(value: Any, args: tuple[Any, ...], place: str) -> tuple[Any, ...]:
    _check(isinstance(value, list), value, "a list", place)
    if len(args) == 2 and args[1] is ...:
        return tuple(_convert(v, args[0], f"{place}[{i}]") for i, v in enumerate(value))
    _check(len(value) == len(args), value, f"a list of {len(args)}", place)
    return tuple(
        _convert(v, a, f"{place}[{i}]") for i, (v, a) in enumerate(zip(value, args, strict=True))
    )


def _convert_scalar(value: Any, hint: Any, place: str) -> Any:
    if hint is float and type(value) is int:
        return float(value)
    if hint is Any:
        return value
    _check(
        type(value) is hint,
        value,
        {str: "text", bool: "true or false"}.get(hint, hint.__name__),
        place,
    )
    return value


def _check(ok: bool, value: Any, wanted: str, place: str) -> None:  # noqa: FBT001 - an assertion
    if not ok:
        raise ConfigError(f"{place}: {value!r} is {type(value).__name__}; expected {wanted}")
