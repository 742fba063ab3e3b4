"""The benchmark's parts on a small room: what it counts is what happened."""

import json

import pytest

from wattcast_tools import main
from wattcast_tools.ingest import victoria
from wattcast_tools.ingest.load import START, Agent, Room
from wattcast_tools.ingest.trial import _count, open_store

SMALL = ["--racks", "2", "--servers", "3", "--seconds", "8", "--kills", "1",
         "--history-hours", "1"]  # fmt: skip


@pytest.mark.e2e
@pytest.mark.slow
def test_a_small_run_loses_and_doubles_nothing(capsys, monkeypatch):
    monkeypatch.setattr(victoria, "PROGRAM", "not-installed")
    assert main.main(["bench", "ingest", "--json", *SMALL]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == [
        "engine", "values_per_s_per_core", "query_ms", "kills", "acked_rows", "lost_rows",
        "duplicate_rows",
    ]  # fmt: skip
    assert (told["kills"], told["lost_rows"], told["duplicate_rows"]) == (1, 0, 0)
    assert told["acked_rows"] > 100
    assert told["query_ms"]["p95"] > 0


def test_lost_and_double_rows_are_found(tmp_path):
    room, store = Room(1, 3), open_store(f"duckdb:{tmp_path}/s.duckdb")
    agent, first = Agent(room, 0), 8640
    store.write("a", agent.batch(first))
    store.write("a", agent.batch(first + 2))
    with store.engine.transaction() as session:
        session.execute("INSERT INTO signatures SELECT * FROM signatures WHERE server = $1",
                        [agent.names[0]])  # fmt: skip
    assert _count(store, room, {agent.id: first + 2}) == (3, 2)
    store.close()
    assert START.tzinfo is not None
