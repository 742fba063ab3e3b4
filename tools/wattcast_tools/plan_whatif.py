"""``wattcast plan --what-if``: ask, and tell people or scripts."""

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattcast_coordinator.study.judged import Headroom
    from wattcast_coordinator.study.whatif import Answer

_REFUSED = 3


def run(args: argparse.Namespace) -> int:
    """0 = the room would hold, as it is or with the plan told; 3 = it would not, and why."""
    import json

    from wattcast_coordinator.study.whatif import NO, ask
    from wattcast_tools.plan_state import recording

    answer = ask(recording(args), args.what_if)
    print(json.dumps(_document(answer)) if args.json else _text(answer))
    return _REFUSED if answer.holds == NO else 0


def _document(answer: "Answer") -> dict[str, Any]:
    from wattcast_coordinator.step import codec

    return dict(codec.plain(answer))


def _text(answer: "Answer") -> str:
    lines = [f"{answer.question}: the room would hold: {answer.holds}"]
    lines += headroom_lines(answer.before, answer.after, lost=bool(answer.lost))
    lines += [f"  over its limit: {line}" for line in answer.over]
    if answer.dark:
        lines.append(f"  dark: {', '.join(answer.dark)}")
    lines += [f"  would trip: {line}" for line in answer.trips]
    lines += [f"  move {m.workload} from {m.source} to {m.target}" for m in answer.moves]
    lines += [f"  transfer {t.ats} from {t.from_source} to {t.to_source}" for t in answer.transfers]
    lines += [f"  no plan: {line}" for line in answer.refused]
    if answer.shed:
        lines.append(f"  to be switched off, in this order: {', '.join(answer.shed)}")
    lines += [f"  then, {line}" for line in answer.next_losses]
    return "\n".join([*lines, *(f"({note})" for note in answer.notes)])


def headroom_lines(
    before: "tuple[Headroom, ...]", after: "tuple[Headroom, ...]", *, lost: bool = False
) -> list[str]:
    """Each feed's load and limits, before and after; while something is lost, emergency limits."""
    was = {h.feed: h for h in before}
    lines = []
    for h in after:
        limit_w = h.limit_n1_w if lost else h.limit_w
        line = f"  feed {h.feed}: {h.load_w:.0f} W of {limit_w:.0f} W"
        asides = [f"now {was[h.feed].load_w:.0f} W"] if h.feed in was else []
        if lost and h.limit_w < h.limit_n1_w:
            asides.append(f"{h.limit_w:.0f} W continuously")
        if asides:
            line += f" ({', '.join(asides)})"
        if h.worst:
            line += f", {h.after_w:.0f} W of {h.limit_n1_w:.0f} W after the loss of {h.worst}"
        lines.append(line)
    return lines
