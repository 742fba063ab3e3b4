"""Serves the web application in the coordinator's own event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from wattcast_core.errors import ConfigError

_POLL_REAL_S = 0.01


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the coordinator: it stops gRPC and the store first."""
        yield


class WebServer:
    """A running web server."""

    def __init__(self, app: FastAPI) -> None:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen and serve (port 0 takes a free one); returns the port.

        Raises:
            ConfigError: the address cannot be bound.
        """
        listener = _bind(host, port)
        self._task = asyncio.create_task(self._server.serve([listener]))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(_POLL_REAL_S)
        if self._task.done():
            self._task.result()
        return int(listener.getsockname()[1])

    async def stop(self) -> None:
        """Finish open requests and close; set the app's stop event first."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"REST address {host}:{port} cannot be bound ({error.strerror}); remedy: end what"
            " listens there, or set listen.rest to another port (0 takes a free one)"
        ) from error
    return listener
