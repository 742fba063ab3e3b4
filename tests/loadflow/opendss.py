"""A room as an OpenDSS circuit: explicit lines and neutrals, constant power, real cables."""

import cmath
import math

import numpy as np

from wattcast_configs.power import LINES

VOLT = 230.0
_CABLE = {"UPS": (0.002, 0.002), "breaker": (0.012, 0.003), "rack PDU": (0.02, 0.002)}  # ohm
_ENDS = {
    "L1": (1, 4),
    "L2": (2, 4),
    "L3": (3, 4),
    "L1-L2": (1, 2),
    "L2-L3": (2, 3),
    "L3-L1": (3, 1),
}


def solve(dss, site, loads):
    """Solve one state of a room.

    Args:
        dss: the engine.
        site: the room.
        loads: (node, watts, var) of everything plugged into a rack PDU or one of its ways.

    Returns:
        name of the node -> (amperes of lines, of the neutral), and -> volts at its own loads.
    """
    nodes = {node.id: node for node in site.nodes}
    dss.Text.Command = "clear"
    dss.Text.Command = "new circuit.room basekv=0.4 phases=3 bus1=nowhere mvasc3=2000 mvasc1=2000"
    for node in site.nodes:
        if node.kind == "feed":
            _feed(dss, node.id)
        elif node.kind in ("breaker", "rack PDU"):
            _cable(dss, node, nodes)
    for index, (name, watts, var) in enumerate(loads):
        node = nodes[name]
        bus = node.sources[0] if node.kind == "phase" else name
        line = node.line
        a, b = _ENDS[line] if node.kind == "phase" else _one_line_ends(line)
        kv = VOLT * (math.sqrt(3) if LINES[line] > 2 else 1) / 1000
        dss.Text.Command = (
            f"new load.l{index} phases=1 bus1={bus}.{a}.{b} kv={kv} kw={watts / 1000}"
            f" kvar={var / 1000} model=1 vminpu=0.5 vmaxpu=1.5"
        )
    dss.Text.Command = "set voltagebases=[0.4]"
    dss.Text.Command = "calcvoltagebases"
    dss.Text.Command = "set tolerance=1e-8 maxiterations=100"
    dss.ActiveCircuit.Solution.Solve()
    assert dss.ActiveCircuit.Solution.Converged
    return _measured(dss, site), _volts(dss, loads, nodes)


def _one_line_ends(line):
    return (1, 2) if LINES[line] > 2 else (1, 4)


def _feed(dss, name):
    dss.Text.Command = (
        f"new vsource.{name} bus1=u{name}.1.2.3 basekv={VOLT * math.sqrt(3) / 1000} phases=3"
        " pu=1.0 r1=1e-5 x1=1e-4 r0=1e-5 x0=1e-4"
    )
    dss.Text.Command = f"new reactor.g{name} phases=1 bus1=u{name}.4 bus2=u{name}.0 r=1e-5 x=0"
    _line(dss, name, f"u{name}.1.2.3.4", f"{name}.1.2.3.4", 4, "UPS")


def _cable(dss, node, nodes):
    source = node.sources[0]
    if node.lines == 3:
        own = ".".join(str(i + 1) for i in node.rotation)
        _line(dss, node.id, f"{source}.{own}.4", f"{node.id}.1.2.3.4", 4, node.kind)
    else:
        a, b = _ENDS[node.line]
        c, d = _one_line_ends(node.line)
        _line(dss, node.id, f"{source}.{a}.{b}", f"{node.id}.{c}.{d}", 2, node.kind)


def _line(dss, name, bus1, bus2, wires, kind):
    def matrix(value):
        return "|".join(
            " ".join(str(value if i == j else 0.0) for j in range(i + 1)) for i in range(wires)
        )

    r, x = _CABLE[kind]
    dss.Text.Command = (
        f"new line.{name} phases={wires} bus1={bus1} bus2={bus2} length=1 units=none"
        f" rmatrix=[{matrix(r)}] xmatrix=[{matrix(x)}] cmatrix=[{matrix(0.0)}]"
    )


def _measured(dss, site):
    out = {}
    circuit = dss.ActiveCircuit
    for node in site.nodes:
        if node.kind in ("feed", "breaker", "rack PDU"):
            circuit.SetActiveElement(f"line.{node.id}")
            raw = np.array(circuit.ActiveCktElement.Currents)
            wires = circuit.ActiveCktElement.NumConductors
            amps = np.abs(raw[: 2 * wires : 2] + 1j * raw[1 : 2 * wires : 2])
            out[node.id] = (amps[:3], amps[3]) if wires == 4 else (amps[:1], 0.0)
    return out


def _volts(dss, loads, nodes):
    """Volts, line to neutral, that the loads at each way of being plugged in see."""
    out = {}
    for index, (name, _, _) in enumerate(loads):
        dss.ActiveCircuit.SetActiveElement(f"load.l{index}")
        raw = np.array(dss.ActiveCircuit.ActiveCktElement.Voltages)
        volts = abs(complex(raw[0], raw[1]) - complex(raw[2], raw[3]))
        assert cmath.isfinite(volts)
        out[name] = volts / (math.sqrt(3) if LINES[nodes[name].line] > 2 else 1)
    return out
