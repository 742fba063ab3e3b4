"""Which blocks to read for a set of points: one request costs far more than one register."""


def plan(
    points: list[tuple[int, int, int]], max_registers: int = 125, max_gap: int = 0
) -> list[tuple[int, int, int]]:
    """Merge points into blocks.

    Args:
        points: (function, address, registers) each.
        max_registers: most registers in one block; a point is never split.
        max_gap: most undefined registers to read across; many devices refuse a read that
            touches a single undefined register, so the device's profile states it.

    Returns:
        Blocks (function, address, registers), sorted, that cover every point.
    """
    blocks: list[list[int]] = []
    for function, address, count in sorted(points):
        if blocks and blocks[-1][0] == function:
            start, end = blocks[-1][1], blocks[-1][1] + blocks[-1][2]
            needed = max(end, address + count) - start
            if address - end <= max_gap and needed <= max_registers:
                blocks[-1][2] = needed
                continue
        blocks.append([function, address, count])
    return [(block[0], block[1], block[2]) for block in blocks]
