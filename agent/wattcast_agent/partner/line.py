"""The two agents of a rack ask each other, by signed datagrams on the rack's own network.

Every second each asks: it names the newest lease it knows, and a fresh number that the answer must
repeat, so that an old answer says nothing. Either way go the technician's holds, the newest word on
a switch wins. A datagram is JSON, a dot, and its HMAC-SHA256 under the key that both know.
"""

import asyncio
import hmac
import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from wattcast_core.errors import ConfigError

_log = logging.getLogger(__name__)
_ASK_REAL_S = 1.0
_MOST_BYTES = 60_000
_OPEN_ASKS = 8  # of which an answer is still taken

Holds = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Word:
    """What one agent tells the other.

    Attributes:
        epoch: of the newest lease it knows.
        reads: it reads the rack's devices, or a reading is still under way.
        holds: transfer switch -> "real seconds, blank, text": when a hold was set or released
            (no text).
    """

    epoch: int
    reads: bool
    holds: Holds


class Owner(Protocol):
    """The agent behind this end of the line."""

    def word(self) -> Word:
        """What to tell the partner now."""

    def asked(self, word: Word) -> None:
        """The partner asked."""

    def told(self, word: Word) -> None:
        """The partner answered."""


class Line(asyncio.DatagramProtocol):
    """This agent's end of the line to its partner."""

    def __init__(self, me: str, partner: str, key: bytes, owner: Owner) -> None:
        """Prepare.

        Args:
            me: id of this agent.
            partner: id of the other; nobody else is heard.
            key: what both know.
            owner: gives and takes words.
        """
        self._me, self._partner, self._key, self._owner = me, partner, key, owner
        self._asks: list[str] = []
        self._transport: asyncio.DatagramTransport | None = None
        self._asking: asyncio.Task[None] | None = None

    async def start(self, listen: tuple[str, int], to: tuple[str, int]) -> None:
        """Listen, and ask every second.

        Raises:
            ConfigError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_datagram_endpoint(
                lambda: self, local_addr=listen
            )
        except OSError as error:
            raise ConfigError(
                f"partner.listen {listen[0]}:{listen[1]} cannot be bound ({error.strerror});"
                " remedy: give an address of this machine and a free port"
            ) from error
        self._asking = asyncio.create_task(self._ask(to))

    async def stop(self) -> None:
        """Fall silent."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._transport is not None:
            self._transport.close()

    async def _ask(self, to: tuple[str, int]) -> None:
        while True:
            number = secrets.token_hex(8)
            self._asks = [*self._asks, number][-_OPEN_ASKS:]
            self._send("ask", number, to)
            await asyncio.sleep(_ASK_REAL_S)

    def _send(self, kind: str, number: str, to: Any) -> None:
        word = self._owner.word()
        body = {
            "kind": kind,
            "from": self._me,
            "number": number,
            "epoch": word.epoch,
            "reads": word.reads,
            "holds": dict(word.holds),
        }
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(seal(body, self._key), to)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer an ask, take an answer; whatever else comes is nobody's business."""
        body = unseal(data, self._key)
        if body is None or body.get("from") != self._partner:
            return
        try:
            kind, number, word = _parse(body)
        except (KeyError, TypeError, ValueError):
            _log.warning("partner %s sends what this version does not know", self._partner)
            return
        if kind == "ask":
            self._owner.asked(word)
            self._send("tell", number, addr)
        elif kind == "tell" and number in self._asks:
            self._owner.told(word)

    def error_received(self, exc: Exception) -> None:
        """Its port is closed: it is silent, and that is seen anyway."""


def seal(body: Mapping[str, Any], key: bytes) -> bytes:
    """A signed datagram."""
    text = json.dumps(body).encode()
    return text + b"." + hmac.digest(key, text, "sha256").hex().encode()


def unseal(data: bytes, key: bytes) -> dict[str, Any] | None:
    """The body of a datagram, None if it is not signed with this key."""
    text, _, signature = data.rpartition(b".")
    wanted = hmac.digest(key, text, "sha256").hex().encode()
    if len(data) > _MOST_BYTES or not hmac.compare_digest(signature, wanted):
        return None
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _parse(body: Mapping[str, Any]) -> tuple[str, str, Word]:
    holds = {str(ats): str(text) for ats, text in dict(body["holds"]).items()}
    return (
        str(body["kind"]),
        str(body["number"]),
        Word(int(body["epoch"]), bool(body["reads"]), holds),
    )


def newer(mine: Holds, theirs: Holds) -> dict[str, str]:
    """Of their holds the ones set or released after mine."""
    return {ats: text for ats, text in theirs.items() if _stamp(text) > _stamp(mine.get(ats, ""))}


def in_force(holds: Holds) -> dict[str, str]:
    """Holds that stand: transfer switch -> text."""
    texts = {ats: text.partition(" ")[2] for ats, text in holds.items()}
    return {ats: text for ats, text in texts.items() if text}


def _stamp(text: str) -> float:
    try:
        return float(text.partition(" ")[0])
    except ValueError:
        return 0.0
