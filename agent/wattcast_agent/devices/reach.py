"""Why a device cannot be reached, so that an operator knows what to mend."""

import asyncio
import socket
import ssl
from pathlib import Path

from wattcast_agent.devices.login import Login
from wattcast_agent.devices.tls import tls_context
from wattcast_configs.address import Address
from wattcast_core.errors import LoginRefused, Unreachable

_KNOCK_REAL_S = 0.2
_REMEDIES = {
    socket.gaierror: "the host name is unknown; check spelling and DNS",
    ConnectionRefusedError: "refuses the connection: nothing listens there; check the port, and"
    " whether the service is enabled on the device",
    ConnectionResetError: "closed the connection; does another client use it?",
    BrokenPipeError: "closed the connection; does another client use it?",
    TimeoutError: "no connection within {timeout_real_s:g} s (time-out); check power, address,"
    " network and firewall",
}


async def why_no_connection(where: Address, login: Login, timeout_real_s: float) -> Unreachable:
    """Connect once more, to see what is wrong; TCP, TLS or a serial line."""
    if where.scheme == "modbus-rtu":
        return _why_no_line(where)
    context = tls_context(login.tls, str(where)) if where.scheme == "modbus-tls" else None
    try:
        async with asyncio.timeout(timeout_real_s):
            _, writer = await asyncio.open_connection(where.host, where.port, ssl=context)
        writer.close()
    except (OSError, TimeoutError, ssl.SSLError) as error:
        return explain(where.line, error, timeout_real_s)
    return Unreachable(
        f"{where.line}: the connection was lost at once; does another client use it?"
    )


def _why_no_line(where: Address) -> Unreachable:
    if not Path(where.path).exists():
        return Unreachable(f"{where.line}: there is no such serial device; check path and cable")
    return Unreachable(f"{where.line} cannot be opened; check rights and who else uses it")


def explain(place: str, error: Exception, timeout_real_s: float) -> Unreachable:
    """An error of a socket in an operator's words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"its certificate is not trusted ({error.verify_message}); give its ca"
        return LoginRefused(f"{place}: {why}")
    if isinstance(error, ssl.SSLError):
        return LoginRefused(f"{place}: no TLS ({error.reason}); check port, certificates and keys")
    why = next((text for kind, text in _REMEDIES.items() if isinstance(error, kind)), "")
    why = why or f"no connection ({error}); check address, network and routing"
    return Unreachable(f"{place}: {why.format(timeout_real_s=timeout_real_s)}")


async def nobody_listens(host: str, port: int) -> bool:
    """Whether a UDP port is told closed; an empty datagram that is not answered says nothing."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        with socket.socket(found[0][0], socket.SOCK_DGRAM) as knock:
            knock.settimeout(0)
            knock.connect(found[0][4])
            knock.send(b"")
            async with asyncio.timeout(_KNOCK_REAL_S):
                await loop.sock_recv(knock, 1)
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError):
        pass
    return False
