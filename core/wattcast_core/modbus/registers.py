"""Values in 16-bit registers. Bytes inside a register are always high byte first.

Types: u16 i16 u32 i32 u64 i64 f32 f64, and ``str<n>`` (text in n registers).
Word order ``big`` = high word first, ``little`` = low word first.
"""

import struct

_FORMATS = {
    "u16": ("H", 1),
    "i16": ("h", 1),
    "u32": ("I", 2),
    "i32": ("i", 2),
    "f32": ("f", 2),
    "u64": ("Q", 4),
    "i64": ("q", 4),
    "f64": ("d", 4),
}
TYPES = tuple(sorted(_FORMATS))
WORD_ORDERS = ("big", "little")


def width(kind: str) -> int:
    """Registers a type takes.

    Raises:
        ValueError: no such type.
    """
    if kind in _FORMATS:
        return _FORMATS[kind][1]
    if kind[:3] == "str" and kind[3:].isdigit() and int(kind[3:]) > 0:
        return int(kind[3:])
    raise ValueError(f"type '{kind}' is unknown; use str<registers> or {', '.join(TYPES)}")


def decode_number(words: tuple[int, ...], kind: str, order: str = "big") -> float:
    """The number in ``words`` (as many as ``width(kind)``); int types give an int."""
    letter, count = _FORMATS[kind]
    data = struct.pack(f">{count}H", *(words if order == "big" else tuple(reversed(words))))
    value: float = struct.unpack(">" + letter, data)[0]
    return value


def encode_number(value: float, kind: str, order: str = "big") -> tuple[int, ...]:
    """The registers that hold ``value``; the inverse of ``decode_number``."""
    letter, count = _FORMATS[kind]
    words = struct.unpack(f">{count}H", struct.pack(">" + letter, value))
    return words if order == "big" else tuple(reversed(words))


def decode_text(words: tuple[int, ...]) -> str:
    """Text up to the first zero byte, outer blanks removed.

    Raises:
        ValueError: the bytes are no text.
    """
    data = struct.pack(f">{len(words)}H", *words).split(b"\0")[0]
    return data.decode("utf-8").strip()
