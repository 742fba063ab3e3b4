"""HTTP and JSON with one kind of error."""

import json
from typing import Any

import httpx

from wattcast_core.errors import DataError, Unreachable


async def send(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    body: object | None = None,
    patience_s: float | None = None,
) -> httpx.Response:
    """One request; Unreachable if there is no answer."""
    timeout = httpx.USE_CLIENT_DEFAULT if patience_s is None else httpx.Timeout(patience_s)
    try:
        return await client.request(method, url, json=body, timeout=timeout)
    except (httpx.HTTPError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise Unreachable(f"{method} {url}: {reason}; is its process running?") from error


async def call(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    body: object | None = None,
    patience_s: float | None = None,
) -> dict[str, Any]:
    """One request that must succeed, and its JSON object ({} for an empty answer).

    Raises:
        Unreachable: no answer, or one of the 5xx.
        DataError: another status, or not a JSON object.
    """
    answer = await send(client, method, url, body, patience_s)
    if answer.status_code >= 400:
        text = f"{method} {url}: {answer.status_code} {answer.text[:200]}"
        raise Unreachable(text) if answer.status_code >= 500 else DataError(text)
    try:
        content = json.loads(answer.content or b"{}")
    except ValueError as error:
        raise DataError(f"{method} {url}: no JSON in the answer: {answer.text[:80]!r}") from error
    if not isinstance(content, dict):
        raise DataError(f"{method} {url}: expected a JSON object, got {answer.text[:80]!r}")
    return content
