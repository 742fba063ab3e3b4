"""Nodes in words; the numbers become names where they are known."""

from wattcast_coordinator.topology.instance import Instance

_KINDS = {0: "feed", 1: "panel", 2: "rack PDU", 3: "phase", 4: "ATS"}


def name_of(instance: Instance, node: int, lost: int) -> str:
    """A node, intact (``lost`` = -1) or after the loss of another."""
    text = f"{_KINDS.get(int(instance.node_kind[node]), 'node')} {node}"
    if lost < 0:
        return f"{text} intact"
    return f"{text} after the loss of {_KINDS.get(int(instance.node_kind[lost]), 'node')} {lost}"
