"""The models of a coordinator over REST: list, promote, roll back."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wattcast_coordinator.train.stored_fit import MODEL
from wattcast_core.errors import ConfigError, MissingExtraError, Refused, Unreachable, WattcastError
from wattcast_core.models import ALL

_PATIENCE_REAL_S = 30.0
_BYTES = {"content-type": "application/octet-stream"}


class Remote:
    """A coordinator's REST address."""

    def __init__(self, url: str) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingExtraError("httpx", "coordinator") from error
        self._httpx: Any = httpx
        self._url = url.rstrip("/").removesuffix("/api/v1") + "/api/v1/models"

    def models(self) -> list[dict[str, Any]]:
        """All that the leader knows."""
        found: list[dict[str, Any]] = self._ask("GET", "")
        return found

    def act(self, args: argparse.Namespace) -> str:
        """Promote or roll back as the options say; what was done."""
        application = args.application or ALL
        if args.rollback:
            self._ask("POST", "/rollback", json={"application": application, "why": args.why})
            return f"the champion of {application} is rolled back"
        name = str(args.promote)
        if Path(name).exists():
            name = self._upload(Path(name), application)
        order = {"application": application, "model": name, "why": args.why}
        self._ask("POST", "/promote", json=order)
        return f"{name[:12]} is the champion of {application}"

    def _upload(self, path: Path, application: str) -> str:
        file = path / MODEL if path.is_dir() else path
        if not file.is_file():
            raise ConfigError(f"--promote {path}: holds no {MODEL}; give a model or its folder")
        content = file.read_bytes()
        where = {"application": application}
        kept = self._ask("POST", "", params=where, content=content, headers=_BYTES)
        return str(kept["sha256"])

    def _ask(self, method: str, path: str, **what: Any) -> Any:
        try:
            answer = self._httpx.request(
                method, self._url + path, timeout=_PATIENCE_REAL_S, trust_env=False, **what
            )
        except self._httpx.HTTPError as error:
            raise Unreachable(f"{self._url}: {error}; remedy: check --coordinator") from error
        except self._httpx.InvalidURL as error:
            raise ConfigError(f"--coordinator {self._url}: {error}") from error
        if answer.is_success:
            return answer.json()
        raise _error(answer.status_code, _detail(answer))


def table(models: Sequence[Mapping[str, Any]]) -> str:
    """For people."""
    if not models:
        return "no models: agents serve the one that ships, or that of their rack file"
    lines = []
    for model in models:
        lines.append(
            f"{model['application']:<12} {model['state']:<12} {model['id']:<24}"
            f" {model['sha256'][:12]}  since {model['since'][:16]}  {model['why']}"
        )
        lines += [f"    {agent}: {word}" for agent, word in sorted(model["agents"].items())]
        if not model["file"]:
            lines.append("    its file is not at this coordinator")
    return "\n".join(lines)


def _detail(answer: Any) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"


def _error(status: int, detail: str) -> WattcastError:
    if status == 409:
        return Refused(detail)
    return Unreachable(detail) if status == 503 else WattcastError(detail)
