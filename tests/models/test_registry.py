"""Models in a real etcd, and copies of their files at every coordinator over real gRPC."""

import json

import pytest
from variants import BASE, champion, model

from wattcast_coordinator.api.agents import AgentServer
from wattcast_coordinator.api.peer_files import fetch
from wattcast_coordinator.coord.election import Deposed, Leadership
from wattcast_coordinator.coord.peers import Peers
from wattcast_coordinator.models.files import ModelFiles
from wattcast_coordinator.models.record import ModelState, promoted
from wattcast_coordinator.models.registry import PREFIX, ModelRegistry, read
from wattcast_coordinator.run.replicas import Replicas
from wattcast_core.errors import DataError, Refused
from wattcast_core.models import ALL, MOST_BYTES

pytestmark = pytest.mark.integration
AT = "2026-01-01T00:00:00+00:00"
GOOD, BETTER = model("good"), model("better")


@pytest.fixture
def files(tmp_path):
    return ModelFiles(tmp_path / "models")


async def test_records_outlive_the_term_and_only_its_leader_writes(leadership, files):
    registry = ModelRegistry(leadership)
    record = files.add(GOOD, "web/shop *")
    await registry.put([record])
    await registry.put(promoted(registry.records, record, AT, "first"))
    (kept,), problems = await read(leadership.etcd)
    assert (kept.state, kept.id, kept.champion) == (
        ModelState.CHAMPION, "good", champion(GOOD, "web/shop *"))  # fmt: skip
    assert not problems
    shown = json.loads((await leadership.etcd.list(PREFIX))[0].value)
    assert (shown["state"], shown["why"]) == ("champion", "first")

    deposed = Leadership(leadership.etcd, leadership.key, leadership.token - 1, leadership.lease)
    other = ModelRegistry(deposed)
    assert await other.load() == ()
    for change in (([files.add(BETTER, ALL)], ()), ((), [kept])):
        with pytest.raises(Deposed):
            await other.put(*change)
    assert (await read(leadership.etcd))[0] == (kept,)
    assert other.records == (kept,), "what was not written is not believed either"

    await registry.put([], gone=[kept])
    assert await read(leadership.etcd) == ((), ())


async def test_damaged_records_are_named_and_the_others_serve(leadership, files):
    registry = ModelRegistry(leadership)
    record = files.add(GOOD, ALL)
    await registry.put([record])
    right = (await leadership.etcd.list(PREFIX))[0]
    spoiled = {
        "not JSON": "{]",
        "no model": "{}",
        "of another": right.value,
        "no sha256": right.value.replace(record.sha256, "../../etc/passwd"),
        "huge": right.value.replace(f'"size": {len(GOOD)}', f'"size": {MOST_BYTES + 1}'),
    }
    for name, value in spoiled.items():
        await leadership.etcd.put(PREFIX + name, value)
    problems = await registry.load()
    assert registry.records == (record,)
    assert len(problems) == len(spoiled)
    assert all("remedy: etcdctl del" in problem for problem in problems)


async def test_a_model_is_found_by_id_or_by_the_beginning_of_its_hash(leadership, files):
    registry = ModelRegistry(leadership)
    both = [files.add(GOOD, ALL), files.add(BETTER, ALL)]
    await registry.put(both)
    assert registry.find(ALL, "good") == both[0]
    assert registry.find(ALL, both[1].sha256[:6]) == both[1]
    for name, why in (("bad", "none is 'bad'"), ("", "none is ''")):
        with pytest.raises(Refused, match=f"{why}.*known: .*good"):
            registry.find(ALL, name)
    with pytest.raises(Refused, match="known: none"):
        registry.find("web", "good")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (GOOD[:-1000], r"holds no forecast\.json"),
        (b"", r"holds no forecast\.json"),
        (model("old", schema=9), "'schema' is not"),
        (b"x" * (MOST_BYTES + 1), "bytes; a model has"),
    ],
    ids=["truncated", "empty", "another schema", "too large"],
)
def test_what_is_no_model_of_this_version_is_not_kept(files, tmp_path, content, why):
    with pytest.raises(DataError, match=why):
        files.add(content, ALL)
    assert not list(tmp_path.rglob("*.tflite"))


def test_a_file_has_the_name_of_its_content(files, tmp_path):
    record = files.add(GOOD, ALL)
    path = files.path(record.sha256)
    assert path.read_bytes() == GOOD
    assert b"".join(files.read(record.sha256, 1000)) == GOOD[1000:]
    assert files.path("../" + record.sha256) is None
    with pytest.raises(DataError, match="remedy"):
        list(files.read("0" * 64, 0))
    files.discard(record.sha256)
    files.discard(record.sha256)
    assert not list(tmp_path.rglob("*.tflite"))


class Elsewhere:
    """Other coordinators: their gRPC ports, with the files each has."""

    def __init__(self, etcd, folder):
        self.etcd, self.folder, self.servers = etcd, folder, []

    async def open(self, name, *contents):
        files = ModelFiles(self.folder / name)
        for content in contents:
            files.add(content, ALL)
        server = AgentServer(None, files)
        self.servers.append(server)
        peers = Peers(self.etcd, name, f"127.0.0.1:{await server.start('127.0.0.1:0')}")
        await peers.others()
        return files


@pytest.fixture
async def elsewhere(etcd, tmp_path):
    made = Elsewhere(etcd, tmp_path)
    yield made
    for server in made.servers:
        await server.stop(0)


async def test_every_coordinator_has_the_champions_before_it_leads(leadership, elsewhere, files):
    registry, etcd = ModelRegistry(leadership), leadership.etcd
    leading = await elsewhere.open("c2", GOOD, BETTER)
    candidate, record = leading.add(BETTER, ALL), leading.add(GOOD, ALL)
    await registry.put([candidate, *promoted((), record, AT, "")])
    await etcd.put("/wattcast/coordinators/c0", "127.0.0.1:9")  # it is gone
    replicas = Replicas(etcd, Peers(etcd, "me", "127.0.0.1:8").others, files, fetch)
    assert await replicas.bring() == ()
    assert files.path(record.sha256).read_bytes() == GOOD
    assert files.path(candidate.sha256) is None, "not needed by who leads next"


async def test_a_copy_that_is_not_the_file_is_not_kept(leadership, elsewhere, files, caplog):
    registry, etcd = ModelRegistry(leadership), leadership.etcd
    spoiled = await elsewhere.open("c1", BASE)
    whole = await elsewhere.open("c2", GOOD)
    record = whole.add(GOOD, ALL)
    await registry.put(promoted((), record, AT, ""))
    replicas = Replicas(etcd, Peers(etcd, "me", "127.0.0.1:8").others, files, fetch)
    for wrong in (GOOD[:-1], GOOD + b"x", BETTER):
        spoiled_path = spoiled.path(champion(BASE).sha256).with_name(f"{record.sha256}.tflite")
        spoiled_path.write_bytes(wrong)
        assert await replicas.bring() == ()
        assert files.path(record.sha256).read_bytes() == GOOD
        files.discard(record.sha256)
    whole.discard(record.sha256)
    for _ in range(2):
        assert [r.id for r in await replicas.bring()] == ["good"]
    said = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(said) == 1, "told once"
    assert "champion good of *" in said[0]
    assert "remedy" in said[0]
