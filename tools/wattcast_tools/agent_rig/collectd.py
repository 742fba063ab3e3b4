"""collectd's modbus plugin on the same registers, where it is installed."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

from wattcast_tools.agent_rig.devices import OUTLETS, PDU_PROFILE, Devices

_HEAD = """\
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
Interval 1
LoadPlugin modbus
LoadPlugin csv
<Plugin csv>
  DataDir "{folder}/csv"
</Plugin>
<Plugin modbus>
"""


async def start(folder: Path, devices: Devices) -> asyncio.subprocess.Process | None:
    """Start it in the foreground; None where it is not installed."""
    program = shutil.which("collectd")
    if program is None:
        return None
    path = _write(folder, devices)
    quiet = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(
        program, "-f", "-C", str(path), stdout=quiet, stderr=quiet
    )


def _write(folder: Path, devices: Devices) -> Path:
    folder.mkdir()
    path = folder / "collectd.conf"
    path.write_text(_HEAD.format(folder=folder) + "\n".join(_config(devices)) + "\n</Plugin>\n")
    return path


def _config(devices: Devices) -> Iterator[str]:
    pdus = [e for e in devices.entries if e.profile == PDU_PROFILE]
    names = ["inlet", *(f"outlet{n}" for n in range(1, OUTLETS + 1))]
    bases = [0, *(0x100 + 6 * n for n in range(OUTLETS))]
    for name, base in zip(names, bases, strict=True):
        for offset, kind in enumerate(("power", "current")):
            yield (
                f'<Data "{name}-{kind}">\n RegisterBase {base + 2 * offset}\n RegisterType Float\n'
                f' RegisterCmd ReadHolding\n Type "{kind}"\n Instance "{name}"\n</Data>'
            )
    for pdu in pdus:
        collect = "".join(f' Collect "{n}-{k}"\n' for n in names for k in ("power", "current"))
        yield (
            f'<Host "{pdu.id}">\n Address "127.0.0.1"\n Port "{pdu.device.port}"\n Interval 1\n'
            f' <Slave 1>\n Instance "{pdu.id}"\n{collect} </Slave>\n</Host>'
        )
