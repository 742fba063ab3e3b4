"""Asks another coordinator for the file of a model, as an agent does."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from wattcast_core.errors import Unreachable
from wattcast_proto.v1 import agent_pb2_grpc
from wattcast_proto.v1.agent_pb2 import ModelRequest

_CHUNK_REAL_S = 5.0  # no part of the file for so long: it hangs


async def fetch(address: str, sha256: str) -> AsyncIterator[bytes]:
    """Pieces of a file.

    Raises:
        Unreachable: it is not there, hangs, or has no such file.
    """
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = agent_pb2_grpc.AgentLinkStub(channel)
        call = stub.Fetch(ModelRequest(sha256=sha256))
        try:
            while True:
                chunk = await asyncio.wait_for(call.read(), _CHUNK_REAL_S)
                if chunk is grpc.aio.EOF:
                    return
                yield chunk.content
        except TimeoutError as error:
            raise Unreachable(
                f"{address}: no part of the file for {_CHUNK_REAL_S:.0f} s"
            ) from error
        except grpc.aio.AioRpcError as error:
            raise Unreachable(f"{address}: {error.code().name}") from error
        finally:
            call.cancel()
