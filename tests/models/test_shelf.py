"""What is on the agent's disk is right, whenever the power fails."""

import hashlib
import os
from pathlib import Path

import pytest
from variants import champion, model

from wattcast_agent.infer.shelf import Place, Shelf
from wattcast_core.errors import DataError
from wattcast_core.models import ALL, ModelReport, Stage

OLD, NEW = model("old"), model("new")
OLD_SHA, NEW_SHA = champion(OLD).sha256, champion(NEW).sha256
PIECE = 400_000


def fetched(shelf, content):
    wanted = champion(content)
    end = shelf.begun(wanted.sha256)
    while end < len(content):
        end = shelf.add(wanted, end, content[end : end + PIECE])
    shelf.finish(wanted)


def serving_old(folder):
    shelf = Shelf(folder)
    fetched(shelf, OLD)
    shelf.try_out(ALL, OLD_SHA)
    shelf.prove(ALL)
    return shelf


def swap(folder):
    """All steps from a champion that is heard of to the old file being thrown away."""
    shelf = Shelf(folder)
    if not shelf.has(NEW_SHA):
        fetched(shelf, NEW)
    if shelf.places[ALL].serving != NEW_SHA:
        shelf.try_out(ALL, NEW_SHA)
        shelf.start(ALL)
        shelf.survived(ALL)
        shelf.prove(ALL)
    shelf.clean({NEW_SHA})


class PowerCutError(BaseException):
    """Nothing after it happens."""


def cut_at(monkeypatch, number):
    """The process ends before its ``number``-th change of the disk; returns the count."""
    count = [0]

    def counted(real):
        def act(*args, **kwargs):
            count[0] += 1
            if count[0] == number:
                raise PowerCutError
            return real(*args, **kwargs)

        return act

    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    for name in ("replace", "unlink", "open"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    return count


def test_a_swap_survives_the_end_of_the_process_between_any_two_steps(tmp_path, monkeypatch):
    serving_old(tmp_path / "whole")
    with monkeypatch.context() as patch:
        steps = cut_at(patch, -1)
        swap(tmp_path / "whole")
    assert steps[0] > 20
    for number in range(1, steps[0] + 1):
        folder = tmp_path / f"cut-{number}"
        serving_old(folder)
        with monkeypatch.context() as patch:
            cut_at(patch, number)
            with pytest.raises(PowerCutError):
                swap(folder)
        shelf = Shelf(folder)
        assert not shelf.problem
        place = shelf.places[ALL]
        assert {OLD_SHA, NEW_SHA} >= {place.serving}
        for sha in filter(None, (place.serving, place.trial, place.kept)):
            assert hashlib.sha256(shelf.path(sha).read_bytes()).hexdigest() == sha
            assert shelf.manifest(sha).is_file()
        swap(folder)
        assert Shelf(folder).places[ALL] == Place(NEW_SHA, kept=OLD_SHA)
        assert not list(folder.glob("*.part")) + list(folder.glob("*.new"))


def test_a_download_goes_on_where_it_stopped(tmp_path):
    shelf, wanted = Shelf(tmp_path), champion(NEW)
    assert shelf.add(wanted, 0, NEW[:1000]) == 1000
    shelf = Shelf(tmp_path)
    assert shelf.begun(NEW_SHA) == 1000
    with pytest.raises(DataError, match=f"cut off: 1000 of {len(NEW)} bytes"):
        shelf.finish(wanted)
    shelf.add(wanted, 1000, NEW[1000:])
    shelf.finish(wanted)
    assert shelf.path(NEW_SHA).read_bytes() == NEW


@pytest.mark.parametrize("spoil", [0, 300_000, -1])
def test_a_wrong_file_is_thrown_away_with_both_hashes_named(tmp_path, spoil):
    shelf, wanted, content = Shelf(tmp_path), champion(NEW), bytearray(NEW)
    content[spoil] ^= 1
    shelf.add(wanted, 0, bytes(content))
    with pytest.raises(DataError, match=f"sha256 of what came is .*not {NEW_SHA[:12]}"):
        shelf.finish(wanted)
    assert not shelf.begun(NEW_SHA)
    with pytest.raises(DataError, match="longer than its"):
        shelf.add(wanted, 0, NEW + b"x")


def test_a_failed_model_is_not_taken_again_and_the_one_before_serves(tmp_path):
    shelf = serving_old(tmp_path)
    fetched(shelf, NEW)
    shelf.try_out(ALL, NEW_SHA)
    shelf.prove(ALL)
    shelf.fail(ModelReport(ALL, "new", NEW_SHA, Stage.DEFECT, "no numbers"))
    shelf.clean(())
    again = Shelf(tmp_path)
    assert again.places[ALL] == Place(OLD_SHA)
    assert again.failure(NEW_SHA) == "no numbers"
    assert not again.has(NEW_SHA)
    told = {(r.id, r.stage): r.why for r in again.reports()}
    assert told == {("old", Stage.SERVING): "", ("new", Stage.DEFECT): "no numbers"}


def test_an_agent_that_ends_each_time_gives_a_trial_up(tmp_path):
    shelf = serving_old(tmp_path)
    fetched(shelf, NEW)
    shelf.try_out(ALL, NEW_SHA)
    assert [Shelf(tmp_path).start(ALL) for _ in range(4)] == [True] * 3 + [False]
    Shelf(tmp_path).survived(ALL)
    assert Shelf(tmp_path).start(ALL)


@pytest.mark.parametrize("text", ["", "[]", '{"places": 1}', '{"places": {"*": {"x": 1}}}'])
def test_a_damaged_record_is_told_and_the_own_model_serves(tmp_path, text):
    serving_old(tmp_path)
    (tmp_path / "shelf.json").write_text(text)
    shelf = Shelf(tmp_path)
    assert "damaged" in shelf.problem
    assert not shelf.places


def test_a_full_disk_is_told_with_the_remedy(tmp_path, monkeypatch):
    shelf = serving_old(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"No space left on device; remedy: make room"):
        shelf.try_out(ALL, NEW_SHA)
    monkeypatch.undo()
    assert Shelf(tmp_path).places == {ALL: Place(OLD_SHA)}
