"""The heavy passes on a Ray cluster, with the results of one process: `RayEmbedding` and `RayNeighbors`.

Both take the place of a function of the lower layers (`Datastore.build(embed=…)`, `neighbors.compute(spread=…)`), cut
the work into units, and let actors write what belongs to a unit to a folder that all nodes share. A finished unit is
never done again, and who assembles the units is the ordinary code: so the result is the same, byte for byte.
"""

from camml.distributed.cluster import Cluster
from camml.distributed.embedding import RayEmbedding
from camml.distributed.neighbors import RayNeighbors

__all__ = ["Cluster", "RayEmbedding", "RayNeighbors"]
