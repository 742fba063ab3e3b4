"""Trainings beside each other: processes of this machine, or a Ray or Dask cluster."""

import ctypes
import importlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, TypeVar

from wattcast_core.errors import MissingExtraError, Unreachable

J = TypeVar("J")
R = TypeVar("R")
_PR_SET_PDEATHSIG = 1
_CONNECT_REAL_S = 20


@dataclass(frozen=True, slots=True)
class Where:
    """Where trainings run.

    Attributes:
        workers: processes of this machine, if no cluster is named.
        ray: address of a Ray cluster (``auto``, ``ray://host:10001``), or empty.
        dask: address of a Dask scheduler (``tcp://host:8786``), or empty.
        niceness: added to that of this machine's processes.
    """

    workers: int = 1
    ray: str = ""
    dask: str = ""
    niceness: int = 0


def fan_out(run: Callable[[J], R], jobs: Sequence[J], where: Where) -> Iterator[tuple[J, R]]:
    """Run each job somewhere; yields jobs with their results as they end.

    Raises:
        MissingExtraError: the cluster's library is not installed.
        Unreachable: the cluster does not answer.
    """
    if where.ray:
        return _on_ray(run, jobs, where.ray)
    if where.dask:
        return _on_dask(run, jobs, where.dask)
    if where.workers <= 1 or len(jobs) <= 1:
        return ((job, run(job)) for job in jobs)
    return _on_processes(run, jobs, where)


def _on_processes(run: Callable[[J], R], jobs: Sequence[J], where: Where) -> Iterator[tuple[J, R]]:
    # Spawned, not forked: TensorFlow's threads do not survive a fork.
    workers, context = min(where.workers, len(jobs)), get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin, (os.getpid(), where.niceness)) as pool:
        waiting = {pool.submit(run, job): job for job in jobs}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin(parent: int, niceness: int) -> None:
    """A worker ends with its parent, and lets others go first."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit("parent is gone")
    os.nice(niceness)


def _on_ray(run: Callable[[J], R], jobs: Sequence[J], address: str) -> Iterator[tuple[J, R]]:
    ray = _library("ray", "ray")
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise Unreachable(f"Ray at {address} does not answer: {error}") from error
    remote: Any = ray.remote(num_cpus=1)(run)
    waiting = {remote.remote(job): job for job in jobs}
    while waiting:
        (done, *_), _ = ray.wait(list(waiting), num_returns=1)
        yield waiting.pop(done), ray.get(done)


def _on_dask(run: Callable[[J], R], jobs: Sequence[J], address: str) -> Iterator[tuple[J, R]]:
    distributed = _library("distributed", "dask")
    try:
        client = distributed.Client(address, timeout=_CONNECT_REAL_S)
    except (OSError, TimeoutError) as error:
        raise Unreachable(f"Dask at {address} does not answer: {error}") from error
    with client:
        waiting = {client.submit(run, job, pure=False): job for job in jobs}
        for future in distributed.as_completed(waiting):
            yield waiting[future], future.result()


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(name, extra) from error
