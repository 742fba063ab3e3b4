"""Frames around a PDU: MBAP for TCP, unit and CRC for RTU."""

import struct

from wattcast_core.modbus.pdu import ModbusError

MBAP_BYTES = 7
MAX_PDU_BYTES = 253


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS (polynomial 0xA001 reflected, start 0xFFFF)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def wrap_tcp(transaction: int, unit: int, pdu: bytes) -> bytes:
    """MBAP header and PDU."""
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def unwrap_tcp(buffer: bytes) -> tuple[int, int, bytes, int] | None:
    """First frame of a buffer as (transaction, unit, pdu, bytes used); None if more must come.

    Raises:
        ModbusError: the bytes cannot be Modbus TCP; drop the connection to get in step again.
    """
    if len(buffer) < MBAP_BYTES + 1:
        return None
    transaction, protocol, length, unit = struct.unpack(">HHHB", buffer[:MBAP_BYTES])
    if protocol != 0 or not 2 <= length <= MAX_PDU_BYTES + 1:
        raise ModbusError(f"not a Modbus TCP frame (protocol {protocol}, length {length})")
    end = MBAP_BYTES - 1 + length
    if len(buffer) < end:
        return None
    return transaction, unit, bytes(buffer[MBAP_BYTES:end]), end


def wrap_rtu(unit: int, pdu: bytes) -> bytes:
    """Unit, PDU and CRC (low byte first)."""
    body = bytes([unit]) + pdu
    return body + struct.pack("<H", crc16(body))


def unwrap_rtu(frame: bytes) -> tuple[int, bytes]:
    """(unit, pdu) of a whole RTU frame.

    Raises:
        ModbusError: too short, or the CRC does not match.
    """
    if len(frame) < 4 or crc16(frame[:-2]) != struct.unpack("<H", frame[-2:])[0]:
        raise ModbusError(f"RTU frame of {len(frame)} bytes: too short or wrong CRC")
    return frame[0], bytes(frame[1:-2])
