"""Two agents of a rack: one reads. Judged in a world of links that break and processes that die."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from wattcast_agent import duty
from wattcast_agent.duty import SILENCE_REAL_S, Duty, Role
from wattcast_agent.link.offset import Offset
from wattcast_core.messages import Lease

TTL_S = 5.0


def lease(epoch, holder):
    return Lease(0.0, 0.0, epoch, holder)


def standby(me="a", partner="b", **kept):
    return duty.begin(me, partner, kept.get("epoch", 0), held=kept.get("held", False), now_s=0.0)


def test_a_lone_agent_always_reads_and_says_that_it_is_lone():
    alone = duty.begin("a", "", 0, held=False, now_s=0.0)
    assert alone.reads
    alone = duty.leased(alone, lease(3, "b"))
    assert alone.reads
    assert alone.problem(1.0) == (
        "monitoring not redundant: no partner; b serves this rack, too: give both a [partner]"
    )


def test_who_is_granted_the_lease_waits_for_the_partners_word():
    taking = duty.leased(standby(), lease(1, "a"))
    assert not taking.reads
    assert not duty.told(taking, 0, 1.5, reads=True).reads
    assert duty.told(taking, 0, 1.5, reads=False).reads


def test_a_silent_partner_is_waited_for_only_so_long():
    taking = duty.leased(duty.asked(standby(), 0, 1.0), lease(1, "a"))
    assert not duty.tick(taking, 1.0 + SILENCE_REAL_S - 0.1).reads
    assert duty.tick(taking, 1.0 + SILENCE_REAL_S).reads
    silent_before = duty.leased(standby(), lease(1, "a"))
    assert duty.tick(silent_before, SILENCE_REAL_S).reads


def test_a_holder_goes_on_without_a_coordinator_until_a_newer_lease_shows():
    holder = duty.told(duty.leased(standby(), lease(1, "a")), 0, 1.5, reads=False)
    assert duty.tick(holder, 1e6).reads
    assert duty.asked(holder, 1, 2.0).reads
    assert not duty.asked(holder, 2, 2.0).reads
    assert not duty.leased(holder, lease(2, "b")).reads
    assert duty.leased(holder, lease(1, "a")).reads


def test_an_agent_started_again_hears_first_whether_somebody_took_over():
    again = standby(epoch=1, held=True)
    assert (again.role, again.reads) == (Role.RESUMING, False)
    assert duty.told(again, 1, 0.5, reads=False).reads
    assert not duty.told(again, 2, 0.5, reads=True).reads
    assert duty.tick(again, SILENCE_REAL_S).reads, "nobody is there: the rack must be watched"
    assert not duty.tick(standby(epoch=1), 1e6).reads


def test_an_old_lease_that_comes_late_changes_nothing():
    yielded = duty.asked(standby(epoch=1, held=True), 2, 0.5)
    assert duty.leased(yielded, lease(1, "a")) == yielded


class World(RuleBasedStateMachine):
    """Two agents, an arbiter that grants leases, and three links; time goes by tenths."""

    @initialize()
    def begin(self):
        self.now = 0.0
        self.agents: dict[str, Duty] = {n: standby(n, p) for n, p in (("a", "b"), ("b", "a"))}
        self.disk = dict.fromkeys("ab", (0, False))
        self.up = {"ab": True, "a": True, "b": True}
        self.alive = {"a": True, "b": True}
        self.holder, self.epoch, self.heard = "", 0, {"a": 0.0, "b": 0.0}
        self.broken_s = {"ab": -1e9, "a": -1e9, "b": -1e9}

    @rule(tenths=st.sampled_from([1, 5, 10, 30, 80]))
    def time_goes_by(self, tenths):
        for _ in range(tenths):
            self.now += 0.1
            if round(self.now * 10) % 10 == 0:
                self.beat()
            for name in "ab":
                self.set(name, duty.tick(self.agents[name], self.now))
            for link, up in self.up.items():
                if not up:
                    self.broken_s[link] = self.now
            self.judge()

    def beat(self):
        for name, partner in (("a", "b"), ("b", "a")):
            if not self.alive[name]:
                continue
            if self.up[name]:
                self.at_the_coordinator(name)
            if self.up["ab"] and self.alive[partner]:
                self.set(
                    partner, duty.asked(self.agents[partner], self.agents[name].epoch, self.now)
                )
                told = self.agents[partner]
                self.set(name, duty.told(self.agents[name], told.epoch, self.now, reads=told.reads))

    def at_the_coordinator(self, name):
        self.heard[name] = self.now
        if not self.holder or (self.holder != name and self.now - self.heard[self.holder] >= TTL_S):
            self.holder, self.epoch = name, max(self.epoch, self.agents[name].epoch) + 1
        answer = lease(self.epoch, self.holder)
        self.set(name, duty.leased(self.agents[name], answer))

    def set(self, name, new):
        if self.alive[name]:
            self.agents[name] = new
            self.disk[name] = (new.epoch, new.reads)

    @rule(link=st.sampled_from(["ab", "a", "b"]))
    def link_changes(self, link):
        self.up[link] = not self.up[link]

    @rule(name=st.sampled_from("ab"))
    def dies_or_starts(self, name):
        self.alive[name] = not self.alive[name]
        if self.alive[name]:
            epoch, held = self.disk[name]
            partner = "b" if name == "a" else "a"
            self.agents[name] = duty.begin(name, partner, epoch, held=held, now_s=self.now)

    @rule()
    def all_is_mended(self):
        self.up = dict.fromkeys(self.up, True)
        self.alive["a"] or self.dies_or_starts("a")
        self.alive["b"] or self.dies_or_starts("b")
        self.time_goes_by(120)
        assert sum(self.reads(n) for n in "ab") == 1, "the rack is watched, by one"

    def reads(self, name):
        return self.alive[name] and self.agents[name].reads

    def judge(self):
        """Both read only if the partners cannot speak, and one of them has no coordinator."""
        if self.reads("a") and self.reads("b"):
            assert self.now - self.broken_s["ab"] < 1.1
            assert self.now - max(self.broken_s["a"], self.broken_s["b"]) < TTL_S + 1.1 or not (
                self.up["a"] and self.up["b"]
            )

    @invariant()
    def nothing_else(self):
        pass


World.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestTwoAgents = World.TestCase


def test_the_clock_is_judged_by_the_shortest_beat_and_a_step_shows_at_once():
    offset = Offset()
    assert offset.ahead_s(0.0, 1000.0) is None
    offset.note(10.0, 10.4, 1010.2)
    offset.note(11.0, 11.02, 1011.01)
    offset.note(12.0, 12.8, 1012.1)
    assert abs(offset.ahead_s(13.0, 1013.0)) < 1e-6
    assert offset.problem(13.0, 1013.0, 1.0) == ""
    assert "clock 3.0 s ahead of the coordinator's" in offset.problem(13.0, 1016.0, 1.0)
    assert "behind" in offset.problem(13.0, 1010.0, 1.0)
