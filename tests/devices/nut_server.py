"""A real NUT server (upsd) on loopback, its devices played by dummy-ups."""

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

DRIVER, SERVER = Path("/lib/nut/dummy-ups"), Path("/lib/nut/upsd")
USER, PASSWORD = "watt", "a-secret"

ATS = {
    "device.type": "ats",
    "input.source": "1",
    "input.source.preferred": "1",
    "input.1.voltage": "231.00",
    "input.2.voltage": "229.00",
    "outlet.group.1.name": "total",
    "outlet.group.1.realpower": "1700.00",
    "outlet.group.2.name": "bank1",
    "outlet.group.2.realpower": "900.00",
    "outlet.group.3.name": "bank2",
    "outlet.group.3.realpower": "800.00",
    "ups.status": "OL",
}


@contextmanager
def serving(folder, devices):
    """Port of a server with these devices: name -> variables."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sections = ""
    for name, variables in devices.items():
        text = "".join(f"{key}: {value}\n" for key, value in variables.items())
        (folder / f"{name}.dev").write_text(text)
        sections += f"[{name}]\ndriver = dummy-ups\nport = {folder}/{name}.dev\n"
        sections += "mode = dummy-once\n"
    (folder / "ups.conf").write_text(sections)
    (folder / "upsd.conf").write_text(f"LISTEN 127.0.0.1 {port}\n")
    (folder / "upsd.users").write_text(f"[{USER}]\npassword = {PASSWORD}\nactions = SET\n")
    names = ("NUT_CONFPATH", "NUT_STATEPATH", "NUT_ALTPIDPATH")
    environment = os.environ | dict.fromkeys(names, str(folder))
    user = ("-u", "root") if os.geteuid() == 0 else ()
    words = [*((DRIVER, "-F", "-a", name) for name in devices), (SERVER, "-F")]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen([*w, *user], env=environment, **quiet) for w in words]
    try:
        _await_devices(port, devices)
        yield port
    finally:
        for process in processes:
            process.kill()
            process.wait()


def put(port, device, **variables):
    """Somebody else sets variables of a device; ``__`` stands for a dot."""
    lines = [f"USERNAME {USER}", f"PASSWORD {PASSWORD}"]
    lines += [f'SET VAR {device} {n.replace("__", ".")} "{v}"' for n, v in variables.items()]
    assert set(_talk(port, [*lines, "LOGOUT"])) <= {"OK", "OK Goodbye", "OK TRACKING"}


def _await_devices(port, devices):
    """Until the server tells all that stands in the files."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if all(_told(port, *known) for known in devices.items()):
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError("upsd did not start")


def _told(port, name, variables):
    lines = _talk(port, [f"LIST VAR {name}", "LOGOUT"])
    return all(f'VAR {name} {key} "{value}"' in lines for key, value in variables.items())


def _talk(port, requests):
    with socket.create_connection(("127.0.0.1", port), timeout=2) as link:
        link.sendall("".join(f"{request}\n" for request in requests).encode())
        return link.makefile().read().splitlines()
