"""Models over REST: which there are, and an operator's word on them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Protocol

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel

from wattcast_coordinator.models.record import ModelRecord
from wattcast_core.errors import DataError, Refused, Unreachable
from wattcast_core.models import MOST_BYTES

_FILE = "application/octet-stream"


class ModelView(BaseModel):
    """A model, and what agents say of it.

    ``agents`` holds their stage and why it is so; ``file`` tells whether it is kept here.
    """

    application: str
    id: str
    sha256: str
    size: int
    schema_version: int
    trained_at: str
    state: str
    since: str
    why: str
    scores: Mapping[str, Any]
    agents: Mapping[str, str] = {}
    file: bool = True

    @classmethod
    def of(cls, record: ModelRecord, agents: Mapping[str, str], *, file: bool) -> "ModelView":
        """The view of a record."""
        return cls(
            application=record.application,
            id=record.id,
            sha256=record.sha256,
            size=record.size,
            schema_version=record.schema,
            trained_at=record.trained_at,
            state=record.state,
            since=record.since,
            why=record.why,
            scores=record.scores,
            agents=agents,
            file=file,
        )


class Order(BaseModel):
    """What an operator wants, and why; ``model`` is an id or the beginning of a sha256."""

    application: str
    model: str = ""
    why: str = "by an operator"


class Desk(Protocol):
    """Who keeps the models. Raises Refused, DataError or Unreachable."""

    def models(self) -> Sequence[ModelView]:
        """All, by application."""

    async def add(self, content: bytes, application: str) -> ModelRecord:
        """Keep a model as a candidate."""

    async def promote(self, application: str, model: str, why: str) -> None:
        """Let a model serve."""

    async def roll_back(self, application: str, why: str) -> None:
        """Withdraw a champion: the one before serves again."""


def routes(desk: Desk) -> APIRouter:
    """The routes below ``/api/v1``."""
    api = APIRouter(tags=["models"])

    @api.get("/models")
    async def models() -> Sequence[ModelView]:
        return desk.models()

    @api.post("/models", status_code=HTTPStatus.CREATED)
    async def add(request: Request, application: str) -> dict[str, str]:
        """Keep a .tflite file as a candidate."""
        content = await _content(request)
        with _explained():
            record = await desk.add(content, application)
        return {"application": application, "id": record.id, "sha256": record.sha256}

    @api.post("/models/promote")
    async def promote(order: Order) -> dict[str, str]:
        with _explained():
            await desk.promote(order.application, order.model, order.why)
        return {"status": "promoted"}

    @api.post("/models/rollback")
    async def roll_back(order: Order) -> dict[str, str]:
        with _explained():
            await desk.roll_back(order.application, order.why)
        return {"status": "rolled back"}

    return api


async def _content(request: Request) -> bytes:
    """The body, of a type that no page of another site may send."""
    if request.headers.get("content-type") != _FILE:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send the file as {_FILE}")
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MOST_BYTES:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MOST_BYTES} bytes")
    return bytes(content)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise HTTPException(HTTPStatus.CONFLICT, str(error)) from error
    except DataError as error:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
    except Unreachable as error:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
