"""``wattcast plan --maintenance``: go or no-go, told to people or scripts."""

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattcast_coordinator.study.maintenance import Decided

_REFUSED = 3


def run(args: argparse.Namespace) -> int:
    """0 = go; 3 = no-go, and why."""
    import json

    from wattcast_coordinator.study.maintenance import decide
    from wattcast_coordinator.study.window import parse
    from wattcast_tools.plan_state import recording

    window = parse(args.maintenance)
    decided = decide(recording(args), window, next_loss=not args.without_next_loss)
    print(json.dumps(_document(decided)) if args.json else _text(decided))
    return 0 if decided.go else _REFUSED


def _document(decided: "Decided") -> dict[str, Any]:
    from wattcast_coordinator.step import codec

    facts = dict(codec.plain(decided))
    return facts if decided.go else {"refused": "; ".join(decided.against), **facts}


def _text(decided: "Decided") -> str:
    from wattcast_tools.plan_whatif import headroom_lines

    window = decided.window
    span = f"{window.begin:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"
    lines = [f"{'GO' if decided.go else 'NO-GO'}: {window.element} out of service, {span}"]
    lines += [f"  against it: {line}" for line in decided.against]
    lines += [f"  before: move {m.workload} from {m.source} to {m.target}" for m in decided.before]
    lines += [f"  after: move {m.workload} back to {m.target}" for m in decided.after]
    lines += headroom_lines((), decided.headroom)
    if decided.go:
        late = decided.latest_return
        until = f"{late:%Y-%m-%d %H:%M} UTC" if late else "not within a day after the window"
        lines.append(f"  latest safe return: {until}")
    lines += [f"  bring it back at once if: {line}" for line in decided.abort]
    lines += [f"  meanwhile {line}" for line in decided.bare]
    if decided.other_begins:
        begins = ", ".join(f"{at:%a %Y-%m-%d %H:%M}" for at in decided.other_begins)
        lines.append(f"  needs no moves if begun at (UTC): {begins}")
    return "\n".join([*lines, *(f"({note})" for note in decided.notes)])
