"""One HTTP request for JSON, with errors that say what to do."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx

from wattcast_core.errors import ConfigError, DataError, Unreachable

_TIMEOUT_REAL_S = 20.0
_DENIED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


async def get_json(
    url: str, *, params: Mapping[str, str], headers: Mapping[str, str], place: str
) -> Any:
    """The JSON document at a URL.

    Raises:
        Unreachable: no connection, no answer in time, too many requests, or a fault over there.
        ConfigError: the token or the request is refused.
        DataError: the answer is not JSON.
    """
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_REAL_S, follow_redirects=True) as client:
            response = await client.get(url, params=dict(params), headers=dict(headers))
    except httpx.HTTPError as error:
        raise Unreachable(f"{place}: {url} does not answer ({type(error).__name__})") from error
    if response.status_code in _DENIED:
        raise ConfigError(f"{place}: {url} refuses the token ({response.status_code})")
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS or response.is_server_error:
        raise Unreachable(f"{place}: {url} answers {response.status_code}; it is asked again later")
    if response.is_error:
        said = response.text[:200]
        raise ConfigError(f"{place}: {url} refuses the request ({response.status_code}): {said}")
    try:
        return response.json()
    except ValueError as error:
        raise DataError(f"{place}: {url} did not answer with JSON") from error
