"""Requests and answers of the register functions 03, 04, 06 and 16."""

import struct

MAX_READ_REGISTERS = 125
MAX_WRITE_REGISTERS = 123
ILLEGAL_ADDRESS = 2
EXCEPTIONS = {
    1: "illegal function",
    2: "illegal address",
    3: "illegal value",
    4: "device failure",
    5: "acknowledged, still busy",
    6: "device busy",
    10: "gateway path unavailable",
    11: "unit behind the gateway does not answer",
}


class ModbusError(Exception):
    """An answer that is no valid answer to the request, or an exception answer.

    ``code`` is the Modbus exception code, 0 for a malformed answer.
    """

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


def exception_text(code: int) -> str:
    """An exception code in words."""
    return f"exception {code} ({EXCEPTIONS.get(code, 'unknown')})"


def read_request(function: int, address: int, count: int) -> bytes:
    """Read holding (3) or input (4) registers.

    Raises:
        ValueError: function, address or count outside what Modbus can ask for.
    """
    if function not in (3, 4):
        raise ValueError(f"function {function} cannot read registers; use 3 or 4")
    _check_range(address, count, MAX_READ_REGISTERS)
    return struct.pack(">BHH", function, address, count)


def parse_read(function: int, count: int, pdu: bytes) -> tuple[int, ...]:
    """Registers of an answer to ``read_request``.

    Raises:
        ModbusError: exception answer (``code`` set) or an answer that does not fit the request.
    """
    _check_answer(function, pdu)
    if pdu[1] != 2 * count or len(pdu) != 2 + 2 * count:
        raise ModbusError(f"answer carries {len(pdu) - 2} bytes, asked for {2 * count}")
    return struct.unpack(f">{count}H", pdu[2:])


def write_request(address: int, value: int) -> bytes:
    """Write one holding register (06)."""
    _check_range(address, 1, 1)
    return struct.pack(">BHH", 6, address, value)


def write_many_request(address: int, values: list[int]) -> bytes:
    """Write holding registers (16)."""
    count = len(values)
    _check_range(address, count, MAX_WRITE_REGISTERS)
    head = struct.pack(">BHHB", 16, address, count, 2 * count)
    return head + struct.pack(f">{count}H", *values)


def check_write(request: bytes, pdu: bytes) -> None:
    """Check the echo of a write.

    Raises:
        ModbusError: exception answer (``code`` set) or an echo of something else.
    """
    _check_answer(request[0], pdu)
    if pdu != request[:5]:
        raise ModbusError("the device echoed another write than the one sent")


def _check_range(address: int, count: int, most: int) -> None:
    if not 1 <= count <= most or address < 0 or address + count > 0x10000:
        raise ValueError(f"registers {address}+{count}: at most {most}, within 0..65535")


def _check_answer(function: int, pdu: bytes) -> None:
    if len(pdu) < 2:
        raise ModbusError(f"answer of {len(pdu)} bytes is too short")
    if pdu[0] == function | 0x80:
        raise ModbusError(exception_text(pdu[1]), pdu[1])
    if pdu[0] != function:
        raise ModbusError(f"answer to function {pdu[0]}, asked function {function}")
