"""``wattcast train --from-store``: models of the servers in a signature database."""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from wattcast_coordinator.models.promotion import (
    CHALLENGER,
    GLOBAL,
    Judgement,
    Rule,
    decide,
)
from wattcast_coordinator.train import manifest, stored
from wattcast_coordinator.train.fan_out import Where, fan_out
from wattcast_coordinator.train.stored_fit import MANIFEST, MODEL, Settings
from wattcast_core.errors import ConfigError
from wattcast_core.models import ALL
from wattcast_tools.training.job import Job, Trained, run

_DONE, RESULT = "judged.json", "result.json"


def train(args: argparse.Namespace) -> dict[str, Any]:
    """Train what is asked for, and write it with the figures; goes on where it was interrupted.

    Returns:
        What stands in RESULT: a model a row, with its judgement and what a coordinator would do.

    Raises:
        ConfigError: wrong usage, or too little data for anything.
    """
    os.nice(args.nice)
    jobs = _jobs(args)
    args.out.mkdir(parents=True, exist_ok=True)
    done = {job.application: kept for job in jobs if (kept := _kept(args.out, job))}
    missing = [job for job in jobs if job.application not in done]
    if done:
        _say(f"finished before: {', '.join(sorted(done))}")
    where = Where(args.workers or os.cpu_count() or 1, args.ray, args.dask)
    for number, (job, trained) in enumerate(fan_out(run, missing, where), len(done) + 1):
        _keep(args.out, job, trained)
        done[job.application] = trained.judged
        _say(f"{number} of {len(jobs)} done: {job.application}")
    result = {"models": [_row(args, name, done) for name in sorted(done)]}
    _write(args.out / RESULT, result)
    return result


def table(result: Mapping[str, Any]) -> str:
    """For people: losses of each model and its rivals."""
    lines = []
    for row in result["models"]:
        judged = row["judged"]
        lines.append(f"{row['application']}: {row['id']}, {judged['targets']} forecasts judged")
        losses = sorted(judged["pinball_w"].items(), key=lambda pair: pair[1])
        lines += [
            f"  {name:<15} pinball {loss:8.4g} W   q90 covers {judged['coverage90'][name]:.3f}"
            for name, loss in losses
        ]
        lines.append(f"  {'promote' if row['promote'] else 'do not promote'}: {row['why']}")
    return "\n".join(lines)


def _jobs(args: argparse.Namespace) -> list[Job]:
    """One for all servers, and one for each application that has enough data."""
    data = stored.read(args.from_store, args.days, args.until)
    split = stored.split_step(data, args.judge_days)
    enough = data.named(args.least_server_days, split)
    if args.application:
        names: Iterable[str] = [args.application]
        if args.application != ALL and args.application not in data.applications:
            known = ", ".join(sorted({name for name in data.applications if name})) or "none"
            raise ConfigError(
                f"--application '{args.application}': not in the data; known: {known}"
            )
    else:
        names = [ALL, *enough] if args.all_applications else [ALL]
        short = sorted({name for name in data.applications if name} - {*enough})
        if args.all_applications and short:
            _say(
                f"less than {args.least_server_days:g} server days, so no model of its own:"
                f" {', '.join(short)}"
            )
    champions = _champions(args.champion)
    first = Job(
        ALL,
        args.from_store,
        args.days,
        args.judge_days,
        args.until,
        Settings(args.limit_windows, args.epochs, args.seed),
        tuple(enough),
    )
    return [
        replace(first, application=name, champion=champions.get(name, champions.get(ALL, b"")))
        for name in names
    ]


def _champions(given: Iterable[str]) -> dict[str, bytes]:
    out = {}
    for text in given:
        name, equals, path = text.rpartition("=")
        try:
            out[name] = Path(path).read_bytes()
        except OSError as error:
            raise ConfigError(f"--champion {text}: {error.strerror}") from error
        if not (equals and name):
            raise ConfigError(f"--champion {text}: give APPLICATION=FILE")
    return out


def _row(
    args: argparse.Namespace, name: str, done: Mapping[str, Mapping[str, Judgement]]
) -> dict[str, Any]:
    judged = done[name][name]
    overall = done.get(ALL, {}).get(name)
    if name != ALL and overall is not None and CHALLENGER in overall.pinball_w:
        losses = {**judged.pinball_w, GLOBAL: overall.pinball_w[CHALLENGER]}
        covered = {**judged.coverage90, GLOBAL: overall.coverage90[CHALLENGER]}
        judged = replace(judged, pinball_w=losses, coverage90=covered)
    decision = decide(judged, Rule(args.margin))
    folder = args.out / _folder(name)
    about = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return {
        "application": name,
        "id": about["id"],
        "file": f"{_folder(name)}/{MODEL}",
        "sha256": about["sha256"],
        "judged": asdict(judged),
        **asdict(decision),
    }


def _folder(application: str) -> str:
    return "all" if application == ALL else f"app-{quote(application, safe='')}"


def _keep(out: Path, job: Job, trained: Trained) -> None:
    """Write a result; the file that says so comes last."""
    folder = out / _folder(job.application)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(trained.content)
    manifest.write(folder / MANIFEST, trained.manifest)
    judged = {name: asdict(each) for name, each in trained.judged.items()}
    _write(folder / _DONE, {"job": _fingerprint(job), "judged": judged})


def _kept(out: Path, job: Job) -> Mapping[str, Judgement]:
    """The judgements of a job that is finished already; empty if it is not, or was another one."""
    folder = out / _folder(job.application)
    try:
        found = json.loads((folder / _DONE).read_text(encoding="utf-8"))
        about = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        whole = manifest.sha256(folder / MODEL) == about["sha256"]
        if found["job"] != _fingerprint(job) or not whole:
            return {}
        return {name: Judgement(**each) for name, each in found["judged"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _fingerprint(job: Job) -> str:
    """Of all that a job depends on; of a file also how it was when it was read."""
    source = Path(job.source)
    of_file = [source.stat().st_size, source.stat().st_mtime_ns] if source.is_file() else []
    facts = asdict(replace(job, champion=b"")) | {"champion": _sha(job.champion), "file": of_file}
    return _sha(json.dumps(facts, default=str, sort_keys=True).encode())


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: Mapping[str, Any]) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(content, indent=1), encoding="utf-8")
    beside.replace(path)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
