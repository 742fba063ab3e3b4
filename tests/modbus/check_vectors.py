"""Run the shared vectors; the same file runs on CPython and on MicroPython.

Usage: <interpreter> check_vectors.py CORE_FOLDER VECTORS_JSON
"""

import json
import sys

sys.path.insert(0, sys.argv[1])

from wattcast_core.modbus import blocks, frame, pdu, registers

unhex = bytes.fromhex
checks = 0


def same(got, want):
    global checks  # noqa: PLW0603 - a script without a test runner counts by hand
    checks += 1
    if got != want:
        raise AssertionError(f"got {got!r}, want {want!r}")


def refuses(kind, call, *args):
    try:
        call(*args)
    except kind as error:
        return getattr(error, "code", 0)
    raise AssertionError(f"{args!r} was accepted")


def check_frames(v):
    for data, crc in v["crc"]:
        same(frame.crc16(unhex(data)), crc)
    for unit, body, whole in v["rtu"]:
        same(frame.wrap_rtu(unit, unhex(body)), unhex(whole))
        same(frame.unwrap_rtu(unhex(whole)), (unit, unhex(body)))
    for transaction, unit, body, whole in v["tcp"]:
        same(frame.wrap_tcp(transaction, unit, unhex(body)), unhex(whole))
        got = frame.unwrap_tcp(unhex(whole) + b"next")
        same(got, (transaction, unit, unhex(body), len(whole) // 2))
    for data in v["tcp_partial"]:
        same(frame.unwrap_tcp(unhex(data[: len(data) // 2 * 2])), None)
    for data in v["tcp_garbage"]:
        refuses(pdu.ModbusError, frame.unwrap_tcp, unhex(data))
    for data in v["rtu_garbage"]:
        refuses(pdu.ModbusError, frame.unwrap_rtu, unhex(data))


def check_pdus(v):
    for function, address, count, body in v["read_request"]:
        same(pdu.read_request(function, address, count), unhex(body))
    for function, address, count in v["read_request_bad"]:
        refuses(ValueError, pdu.read_request, function, address, count)
    for function, count, body, words in v["parse_read"]:
        same(list(pdu.parse_read(function, count, unhex(body))), words)
    for function, count, body, code in v["parse_read_bad"]:
        same(refuses(pdu.ModbusError, pdu.parse_read, function, count, unhex(body)), code)
    for address, value, body in v["write"]:
        same(pdu.write_request(address, value), unhex(body))
        pdu.check_write(unhex(body), unhex(body))
        refuses(pdu.ModbusError, pdu.check_write, unhex(body), unhex(body)[:-1] + b"\x07")
        same(refuses(pdu.ModbusError, pdu.check_write, unhex(body), b"\x86\x03"), 3)
    for address, values, body in v["write_many"]:
        same(pdu.write_many_request(address, values), unhex(body))
        pdu.check_write(unhex(body), unhex(body)[:5])


def check_registers(v):
    for kind, order, words, value in v["numbers"]:
        same(registers.decode_number(tuple(words), kind, order), value)
        same(list(registers.encode_number(value, kind, order)), words)
    nan = registers.decode_number((0x7FC0, 0), "f32")
    same(nan == nan, False)  # noqa: PLR0124 - only NaN differs from itself
    for words, text in v["text"]:
        same(registers.decode_text(tuple(words)), text)
    for kind, count in v["widths"]:
        same(registers.width(kind), count)
    for kind in v["widths_bad"]:
        refuses(ValueError, registers.width, kind)


def check_blocks(v):
    for points, max_registers, max_gap, wanted in v["plans"]:
        got = blocks.plan([tuple(p) for p in points], max_registers, max_gap)
        same([list(block) for block in got], wanted)


with open(sys.argv[2]) as file:  # noqa: PTH123 - MicroPython has no pathlib
    vectors = json.load(file)
check_frames(vectors)
check_pdus(vectors)
check_registers(vectors)
check_blocks(vectors)
print(f"{checks} checks hold on {sys.implementation.name}")  # noqa: T201 - the result
