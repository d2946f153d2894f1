"""The options that send a heavy pass to a Ray cluster."""

import argparse
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camml.datastore.embedding import Embed
    from camml.distributed import Cluster


def add_ray(parser: argparse.ArgumentParser) -> None:
    """Declare the options of Ray."""
    parser.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="work on the Ray cluster at HOST:PORT (default: the one that RAY_ADDRESS names or that runs here, else "
        "'local': one started for this command); files must be where all its nodes see them",
    )
    parser.add_argument(
        "--ray-workers", type=int, metavar="N", help="Ray actors at most (default: one a GPU, or a CPU)"
    )


def cluster_of(args: argparse.Namespace) -> "Cluster | None":
    """Return the cluster asked for, if any.

    Raises:
      OptionError: there are workers and no cluster.
    """
    from camml.errors import OptionError

    if args.ray is None:
        if args.ray_workers is not None:
            raise OptionError("--ray-workers says how many actors work on Ray; give --ray, too")
        return None
    from camml.distributed import Cluster

    return Cluster(args.ray or None, args.ray_workers)


def embedding_of(args: argparse.Namespace, encoder: str, options: Mapping[str, Any]) -> "Embed":
    """Return what makes vectors with the encoder of that name: this process, or the cluster asked for."""
    from camml import encoders
    from camml.datastore.embedding import embed

    cluster = cluster_of(args)
    if cluster is None:
        return embed
    from camml.distributed import RayEmbedding

    return RayEmbedding(partial(encoders.load, encoder, **options), cluster)
