"""Ray clusters: of two nodes, one of which is killed; actors that die; addresses that lead nowhere."""

import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from camml.datastore import Datastore
from camml.distributed import Cluster, RayEmbedding, cluster
from camml.distributed.cluster import _share
from camml.errors import ClusterError, OptionError
from camml.types import Sample
from tests.distributed.conftest import STORE_BYTES
from tests.distributed.folders import contents
from tests.distributed.slow_encoder import SlowEncoder


@pytest.fixture
def two_nodes() -> Iterator[Any]:
    """A cluster of two nodes, each of a raylet of its own and one processor."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster as Nodes

    if ray.is_initialized():  # of another test; one process is in one cluster at a time
        ray.shutdown()
    node = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
    nodes = Nodes(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    nodes.add_node(**node)
    yield nodes
    nodes.shutdown()


@pytest.mark.slow
def test_a_node_that_is_killed_changes_nothing(samples: list[Sample], tmp_path: Path, two_nodes: Any) -> None:
    log, store = tmp_path / "log", tmp_path / "ray" / "store"
    load = partial(SlowEncoder, log, 0.5)
    Datastore.build(tmp_path / "one" / "store", samples, SlowEncoder(tmp_path / "other", 0.0), images=tmp_path)
    killed: list[int] = []

    def kill() -> None:
        """End the second node, as a power cut would, when both nodes have begun and neither is done."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            lines = log.read_text().splitlines() if log.exists() else []
            if len({line.split()[1] for line in lines}) == 2:
                two_nodes.remove_node(next(iter(two_nodes.worker_nodes)), allow_graceful=False)
                killed.append(len(lines))
                return
            time.sleep(0.05)

    killer = threading.Thread(target=kill)
    killer.start()
    cluster = Cluster(two_nodes.address)
    Datastore.build(store, samples, load(), images=tmp_path, batch_size=2, embed=RayEmbedding(load, cluster, shard=2))
    killer.join()
    assert killed
    assert killed[0] < 20, "all was done before the node was killed"
    assert len(two_nodes.worker_nodes) == 0
    assert contents(store) == contents(tmp_path / "one" / "store")
    texts = [line.split(" ", 2)[2] for line in log.read_text().splitlines()]
    assert set(texts) == {sample.text for sample in samples}
    assert len(texts) <= len(samples) + 2 * 2, "more than what was under way on the node was done again"


@pytest.mark.slow
def test_an_actor_that_dies_again_and_again_ends_in_an_error(
    samples: list[Sample], tmp_path: Path, ray_here: None
) -> None:
    load = partial(SlowEncoder, tmp_path / "log", 0.0, samples[9].text)
    embed = RayEmbedding(load, Cluster(workers=1, retries=2), shard=4)
    with pytest.raises(ClusterError, match="gave up"):
        list(embed(samples, SlowEncoder(tmp_path / "log", 0.0), tmp_path / "work", 4))


@pytest.mark.long
@pytest.mark.parametrize(("address", "message"), [("head", "HOST:PORT"), ("no.such.host.invalid:6379", "no Ray")])
def test_an_address_that_leads_nowhere(address: str, message: str) -> None:
    ray = pytest.importorskip("ray")
    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(ClusterError, match=message):
        list(Cluster(address).run(lambda: lambda unit: {}, 1))


def test_an_address_where_nobody_listens() -> None:
    ray = pytest.importorskip("ray")
    if ray.is_initialized():
        ray.shutdown()
    with socket.socket() as held:  # bound, so that nothing else listens there
        held.bind(("127.0.0.1", 0))
        with pytest.raises(ClusterError, match="refused"):
            list(Cluster(f"127.0.0.1:{held.getsockname()[1]}").run(lambda: lambda unit: {}, 1))


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR unknown command\r\n", None])
def test_an_address_where_something_else_listens(said: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may say something, hang up, or (None) say nothing at all."""
    ray = pytest.importorskip("ray")
    if ray.is_initialized():
        ray.shutdown()
    monkeypatch.setattr(cluster, "SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            there, _ = listening.accept()
            there.recv(100)
            if said is not None:
                there.sendall(said)
                there.close()
            else:
                there.recv(100)  # until the other end gives up
                there.close()

        other = threading.Thread(target=answer)
        other.start()
        with pytest.raises(ClusterError, match="what listens there is not Ray"):
            list(Cluster(f"127.0.0.1:{listening.getsockname()[1]}").run(lambda: lambda unit: {}, 1))
        other.join()


def test_settings_out_of_range() -> None:
    with pytest.raises(OptionError, match="at least 1, not 0"):
        Cluster(workers=0)


@pytest.mark.parametrize(
    ("gpus", "workers", "share"), [(0, 4, 0.0), (4, 4, 1.0), (4, 2, 1.0), (1, 3, 1 / 3), (2, 5, 1 / 3)]
)
def test_actors_share_the_gpus_there_are(gpus: float, workers: int, share: float) -> None:
    assert _share(gpus, workers) == share
    assert int(1 / share + 1e-9) * gpus >= workers if share else True
