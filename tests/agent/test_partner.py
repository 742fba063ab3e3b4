"""The line between two agents: real datagrams, and what must not be believed."""

import asyncio
import socket

import pytest

from wattcast_agent.partner.line import Line, Word, in_force, newer, seal, unseal
from wattcast_core.errors import ConfigError

pytestmark = pytest.mark.integration
KEY = b"a key that both know"


class Owner:
    def __init__(self, epoch, *, reads=False, holds=()):
        self.mine = Word(epoch, reads, dict(holds))
        self.asks, self.answers = [], []

    def word(self):
        return self.mine

    def asked(self, word):
        self.asks.append(word)

    def told(self, word):
        self.answers.append(word)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
async def lines():
    started = []

    async def _start(me, partner, owner, listen, to, key=KEY):
        line = Line(me, partner, key, owner)
        await line.start(("127.0.0.1", listen), ("127.0.0.1", to))
        started.append(line)
        return line

    yield _start
    for line in started:
        await line.stop()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a datagram sets no event
            await asyncio.sleep(0.02)


async def test_partners_ask_and_answer(lines):
    a, b = Owner(3, reads=True, holds={"ats": "5.0 set"}), Owner(4)
    ports = free_port(), free_port()
    await lines("a", "b", a, *ports)
    await lines("b", "a", b, *reversed(ports))
    await until(lambda: a.answers and b.answers)
    assert a.answers[0] == b.mine
    assert b.answers[0] == a.mine
    assert b.asks[0] == a.mine


async def test_another_key_another_name_and_an_old_answer_are_not_believed(lines):
    owner, port, other = Owner(3), free_port(), free_port()
    await lines("a", "b", owner, port, other)
    await lines("b", "a", Owner(9), other, port, key=b"another key")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        body = {"kind": "tell", "from": "b", "number": "old", "epoch": 9, "reads": False}
        for change in ({"holds": {}}, {"from": "c", "holds": {}}, {}, {"holds": 7}):
            stranger.sendto(seal(body | change, KEY), ("127.0.0.1", port))
        stranger.sendto(b"noise", ("127.0.0.1", port))
        stranger.sendto(seal(body, KEY)[:-1] + b"0", ("127.0.0.1", port))
    await asyncio.sleep(0.3)
    assert (owner.asks, owner.answers) == ([], [])


def test_a_datagram_is_what_was_signed():
    sealed = seal({"a": 1}, KEY)
    assert unseal(sealed, KEY) == {"a": 1}
    assert unseal(sealed.replace(b"1", b"2", 1), KEY) is None
    assert unseal(seal({"a": "x" * 70_000}, KEY), KEY) is None


def test_the_newest_word_of_a_technician_counts():
    mine = {"ats": "10.0 set at the rack", "ats2": "5.0 "}
    theirs = {"ats": "11.0 ", "ats2": "4.0 set at the rack", "ats3": "1.0 set at the rack"}
    assert newer(mine, theirs) == {"ats": "11.0 ", "ats3": "1.0 set at the rack"}
    assert in_force(mine | newer(mine, theirs)) == {"ats3": "set at the rack"}


async def test_an_address_that_cannot_be_bound_is_named(lines):
    with pytest.raises(ConfigError, match=r"partner\.listen 192\.0\.2\.1:9 cannot be bound"):
        await Line("a", "b", KEY, Owner(1)).start(("192.0.2.1", 9), ("127.0.0.1", 9))
