"""Waiting before a silent peer is asked again."""

from wattcast_agent.devices.backoff import Backoff


def waits(key, failures):
    backoff, found = Backoff(key, first_s=0.5, most_s=8.0), []
    for _ in range(failures):
        backoff.failed(100.0)
        found.append(backoff.wait_s(100.0))
    return found


def test_waits_double_up_to_the_most_within_their_jitter():
    for wait, plain in zip(waits("m1", 8), [0.5, 1, 2, 4, 8, 8, 8, 8], strict=True):
        assert 0.8 * plain <= wait <= 1.2 * plain


def test_peers_do_not_retry_in_step_but_each_is_repeatable():
    assert waits("m1", 5) == waits("m1", 5)
    assert len({waits(f"m{i}", 5)[-1] for i in range(20)}) == 20


def test_an_answer_ends_the_waiting():
    backoff = Backoff("m1")
    backoff.failed(100.0)
    assert backoff.wait_s(100.0) > 0
    assert backoff.wait_s(103.0) == 0
    backoff.succeeded()
    assert backoff.wait_s(100.0) == 0
