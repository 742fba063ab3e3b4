"""REST, server-sent events and the live page."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from http import HTTPStatus
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import AwareDatetime
from starlette.exceptions import HTTPException as AnyHTTPException

from wattcast_coordinator.api import metrics, models
from wattcast_coordinator.api.models import Desk
from wattcast_coordinator.api.view import (
    AgentView,
    AtsView,
    CommandView,
    EventView,
    FeedView,
    JobView,
    LeaderView,
    MeterView,
    MigrationView,
    Number,
    ServerView,
    Snapshot,
    State,
    View,
    WorkloadView,
)
from wattcast_core.units import EPOCH

_TICK_REAL_S = 0.5
_ALIVE_TICKS = 10  # a comment after so many quiet ticks lets the page notice a dead connection


class Step(Snapshot):
    """One stored step of a server."""

    at: datetime
    power_w: Number
    cpu_pct: Number
    quality: str


def create_app(view: View, stop: asyncio.Event, desk: Desk | None = None) -> FastAPI:
    """The web application.

    Args:
        view: where snapshots come from.
        stop: ends all event streams when set.
        desk: who keeps the models; None: nobody does here.
    """
    app = FastAPI(
        title="Wattcast",
        summary="Predictive power load balancing: feeds, forecasts, plans and what was done.",
        version="1",
        docs_url=None,  # the stock pages load scripts from elsewhere
        redoc_url=None,
    )
    app.include_router(_snapshots(view), prefix="/api/v1")
    app.include_router(_stored(view), prefix="/api/v1")
    if desk is not None:
        app.include_router(models.routes(desk), prefix="/api/v1")
    app.include_router(_live(view, stop))
    app.add_exception_handler(AnyHTTPException, _problem)
    app.add_exception_handler(RequestValidationError, _problem)
    return app


def _snapshots(view: View) -> APIRouter:
    api = APIRouter(tags=["now"])
    parts: dict[str, type] = {
        "feeds": FeedView,
        "ats": AtsView,
        "servers": ServerView,
        "workloads": WorkloadView,
        "migrations": MigrationView,
        "commands": CommandView,
        "agents": AgentView,
        "meters": MeterView,
        "jobs": JobView,
    }
    for name, kind in parts.items():
        _add_list(api, view, name, kind)

    @api.get("/state")
    async def state() -> State:
        return view.state()

    @api.get("/leader")
    async def leader() -> LeaderView:
        return view.state().leader

    return api


def _add_list(api: APIRouter, view: View, name: str, kind: type) -> None:
    async def part() -> object:
        return getattr(view.state(), name)

    api.add_api_route(f"/{name}", part, response_model=tuple[kind, ...], name=name)  # type: ignore[valid-type] # made at run time


def _stored(view: View) -> APIRouter:
    api = APIRouter(tags=["stored"])

    @api.get("/servers/{server}/history", response_model=tuple[Step, ...])
    async def history(server: str, since: AwareDatetime = EPOCH) -> object:
        if server not in {s.id for s in view.state().servers}:
            raise HTTPException(
                HTTPStatus.NOT_FOUND,
                f"server '{server}' is not known; GET /api/v1/servers lists all",
            )
        return await view.history(server, since)

    @api.get("/events", response_model=tuple[EventView, ...])
    async def events(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> object:
        return await view.events(limit)

    @api.get("/recording", responses={503: {"description": "no decision cycle yet"}})
    async def recording() -> JSONResponse:
        """The room as the last decision cycle saw it, for ``wattcast plan --what-if``."""
        document = await view.recording()
        if document is None:
            raise HTTPException(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "no decision cycle yet, or another coordinator leads; try again in a step",
            )
        return JSONResponse(document)

    return api


def _live(view: View, stop: asyncio.Event) -> APIRouter:
    api = APIRouter(tags=["live"])
    page = files("wattcast_coordinator.api").joinpath("static/index.html").read_text("utf-8")

    @api.get("/api/v1/stream", response_class=StreamingResponse)
    async def stream() -> StreamingResponse:
        headers = {"Cache-Control": "no-store"}
        return StreamingResponse(_stream(view, stop), 200, headers, "text/event-stream")

    @api.get("/healthz")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @api.get("/metrics", response_class=PlainTextResponse)
    async def gauges() -> PlainTextResponse:
        return PlainTextResponse(metrics.render(view.state()), media_type=metrics.CONTENT_TYPE)

    @api.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def live_page() -> str:
        return page

    return api


async def _stream(view: View, stop: asyncio.Event) -> AsyncIterator[str]:
    """Each new snapshot as an event, at most two a second, until ``stop``."""
    sent, quiet = None, 0
    while not stop.is_set():
        state = view.state()
        if state is not sent:
            sent, quiet = state, 0
            yield f"data: {state.model_dump_json()}\n\n"
        elif (quiet := quiet + 1) % _ALIVE_TICKS == 0:
            yield ": alive\n\n"
        try:
            async with asyncio.timeout(_TICK_REAL_S):
                await stop.wait()
        except TimeoutError:
            continue


async def _problem(request: Request, error: Exception) -> JSONResponse:
    """Any refusal as application/problem+json (RFC 9457)."""
    status, detail = HTTPStatus.UNPROCESSABLE_ENTITY, str(error)
    if isinstance(error, AnyHTTPException):
        status, detail = HTTPStatus(error.status_code), str(error.detail)
    elif isinstance(error, RequestValidationError):
        detail = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    content = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "instance": request.url.path,
    }
    headers = error.headers if isinstance(error, AnyHTTPException) else None
    return JSONResponse(content, status, headers, media_type="application/problem+json")
