"""Frozen dataclasses to JSON types and back, by their annotations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from wattcast_core.errors import DataError

_T = TypeVar("_T")
_STATE = "remove the saved state, it builds up again within a few cycles"


def plain(value: Any) -> Any:
    """JSON types of a dataclass; times become ISO text, tuples lists.

    JSON has no NaN and no infinity; they become the texts ``nan``, ``inf`` and ``-inf``.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return [plain(v) for v in value] if isinstance(value, tuple | list) else value


def typed(kind: type[_T], value: Any, place: str, remedy: str = _STATE) -> _T:
    """A value of the given type; absent keys of a dataclass take its defaults.

    Raises:
        DataError: something does not fit; the text names the place.
    """
    try:
        return cast("_T", _typed(kind, value, place))
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{place} cannot be read back ({error}); remedy: {remedy}") from error


def _typed(kind: Any, value: Any, place: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:
        inner = next(a for a in arguments if a is not NoneType)
        return None if value is None else _typed(inner, value, place)
    if origin in (tuple, Sequence):
        return tuple(_typed(arguments[0], v, f"{place}[{i}]") for i, v in enumerate(value))
    if origin is Mapping:
        return {k: _typed(arguments[1], v, f"{place}.{k}") for k, v in value.items()}
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(
            **{k: _typed(hints[k], v, f"{place}.{k}") for k, v in value.items() if k in hints}
        )  # type: ignore[operator]  # a dataclass's class, not an instance
    return datetime.fromisoformat(value) if kind is datetime else kind(value)
