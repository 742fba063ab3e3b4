import pytest

from wattcast_coordinator.coord.etcd import Etcd
from wattcast_coordinator.coord.server import EtcdServer


@pytest.fixture
async def server(tmp_path):
    server = await EtcdServer.start(tmp_path / "etcd", quick=True)
    yield server
    await server.stop()


@pytest.fixture
async def etcd(server):
    client = Etcd([server.endpoint])
    yield client
    await client.close()
