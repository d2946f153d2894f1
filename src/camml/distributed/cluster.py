"""A Ray cluster, or one started here, and units of work spread over its actors by Ray Data."""

import json
import os
import pickle
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from camml.errors import CaMMLError, ClusterError, OptionError, first_line

Work = Callable[[int], dict[str, Any]]
"""Does the unit of that number; what it gives is small and JSON."""
Prepare = Callable[[], Work]
"""Makes an actor ready: called once in each, before its first unit."""

LOCAL = "local"
OBJECT_STORE = 128 * 2**20
"""Bytes of shared memory that a cluster started here may use; only numbers and messages pass through it."""
RETRIES = 20
"""A node's death costs several, as Ray asks it again and again for some 15 seconds before it believes it."""
SECONDS = 10.0
"""The most seconds that an address may take to answer."""
ADDRESS_VARIABLE = "RAY_ADDRESS"


@dataclass(frozen=True, slots=True)
class Cluster:
    """The machines on which units of work are done.

    Attributes:
      address: "HOST:PORT" of a cluster's head, "local" to start one on this machine, or nothing for the cluster that
        `RAY_ADDRESS` names or that runs here, and "local" where there is none.
      workers: actors at most; by default one for each GPU, or where there is none, for each CPU. With more actors than
        GPUs, several share one.
      retries: how often an actor is started again, and a unit tried again, when a process or its node dies.

    Example:
      >>> Cluster("local", workers=2).retries
      20
    """

    address: str | None = None
    workers: int | None = None
    retries: int = RETRIES

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise OptionError(f"the number of Ray workers must be at least 1, not {self.workers}")

    def run(self, prepare: Prepare, units: int) -> Iterator[dict[str, Any]]:
        """Yield the result of each unit 0, 1, ... as it is done, its number under "unit".

        An actor that dies is started again, on another node if need be, and its unit is done again.

        Raises:
          CaMMLError: what `prepare` or a unit raised.
          ClusterError: there is no such cluster, or a unit failed again and again.
        """
        if not units:
            return
        with self._connection() as ray, _quiet(ray):
            try:
                for row in self._dataset(ray, prepare, units).iter_rows():
                    if row["error"]:
                        raise pickle.loads(row["error"])
                    yield {"unit": row["unit"], **json.loads(row["result"])}
            except ray.exceptions.RayError as error:
                raise ClusterError(f"the Ray cluster gave up: {first_line(error)}") from error

    def _dataset(self, ray: Any, prepare: Prepare, units: int) -> Any:
        resources = ray.cluster_resources()
        cpus, gpus = resources.get("CPU", 1.0), resources.get("GPU", 0.0)
        workers = min(self.workers or int(gpus or cpus) or 1, units)
        return ray.data.from_items([{"unit": unit} for unit in range(units)], override_num_blocks=units).map_batches(
            Actor,
            fn_constructor_args=(prepare,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=workers, initial_size=workers, max_tasks_in_flight_per_actor=2
            ),
            num_cpus=min(1.0, cpus / workers),
            num_gpus=_share(gpus, workers),
            max_restarts=self.retries,
            max_task_retries=self.retries,
        )

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """Connect to Ray; a connection that was there before stays."""
        ray = _ray()
        if ray.is_initialized():
            yield ray
            return
        self._connect(ray)
        try:
            yield ray
        finally:
            ray.shutdown()

    def _connect(self, ray: Any) -> None:
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        start = {"address": LOCAL, "include_dashboard": False, "object_store_memory": OBJECT_STORE, **quiet}
        address = self.address or os.environ.get(ADDRESS_VARIABLE)
        try:
            if address and address != LOCAL:
                _check_reachable(address)
                ray.init(address=address, **quiet)
            elif address:
                ray.init(**start)
            else:
                try:
                    ray.init(address="auto", **quiet)
                except ConnectionError:  # none runs here
                    ray.init(**start)
        except Exception as error:  # Ray raises errors without a kind of their own, for a node that starts too slowly
            name = address or "this machine"
            raise ClusterError(f"no Ray cluster at {name}: {first_line(error)}; `ray status` says more") from error


class Actor:
    """A Ray Data actor that does one unit after the other. Errors of ours travel as results."""

    def __init__(self, prepare: Prepare) -> None:
        self._prepare = prepare
        self._work: Work | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Return the result of the one unit in `batch` as JSON, or its error, pickled."""
        unit = int(batch["unit"][0])
        result, error = "", b""
        try:
            self._work = self._work or self._prepare()
            result = json.dumps(self._work(unit))
        except CaMMLError as raised:
            error = pickle.dumps(raised)
        return {"unit": [unit], "result": [result], "error": [error]}


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise OptionError(f"--ray needs more packages ({error.name}): pip install 'camml[ray]'") from error
    return ray


@contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Silence the progress bars and notices of Ray Data."""
    import logging

    context, logger = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    before = context.enable_progress_bars, context.print_on_execution_start, logger.level
    context.enable_progress_bars = context.print_on_execution_start = False
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars, context.print_on_execution_start = before[:2]
        logger.setLevel(before[2])


def _share(gpus: float, workers: int) -> float:
    """Return the number of GPUs, or the part of one, that each of `workers` gets."""
    if not gpus:
        return 0.0
    return 1.0 if workers <= gpus else 1 / -(-workers // int(gpus))


def _check_reachable(address: str) -> None:
    """Raise if nothing answers at HOST:PORT, where Ray itself would try for a minute, or not as Ray does.

    Raises:
      ValueError: it is of another form.
      OSError: nothing answers, or something that does not speak gRPC, for which Ray would wait without end.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not colon or not port.isdigit():
        raise ValueError("give HOST:PORT of its head node, or local")
    try:
        with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
            answers = bool(os.environ.get("RAY_USE_TLS")) or _speaks_grpc(connection)
    except OSError as error:
        raise ConnectionError(error.strerror or str(error)) from error
    if not answers:
        raise ConnectionError("what listens there is not Ray")


def _speaks_grpc(connection: socket.socket) -> bool:
    """Return whether the other end answers the greeting of HTTP/2, on which gRPC rests, as its first frame must.

    Source: RFC 9113, section 3.4; a frame has its kind in the fourth byte, and SETTINGS is 4.
    """
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
    try:
        frame = b""
        while len(frame) < 4 and (more := connection.recv(4 - len(frame))):
            frame += more
    except (TimeoutError, ConnectionResetError):
        return False
    return frame[3:4] == b"\x04"
