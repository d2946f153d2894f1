"""The searches that a context is made from: their modes, what they need of a datastore, and the state of a query."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from camml.encoders import Encoder, Patches
from camml.likeness import Vectors
from camml.matching import Look
from camml.types import Context, Query, Sample, Where

Search = tuple[str, str]
"""The modality of the query and that of the samples it is compared with."""

SEARCHES: Mapping[str, Search] = {
    "text-image": ("text", "image"),
    "image-image": ("image", "image"),
    "text-text": ("text", "text"),
}
IMAGES, TEXTS = SEARCHES["image-image"], SEARCHES["text-text"]
MODES = ("auto", *SEARCHES, "fused")
"""`auto` compares pictures with pictures and words with texts, words alone with pictures too where they share a space,
and ranks by how far a sample stands out of what is usual; `fused` joins all that apply by reciprocal rank; the others
make one comparison."""
FUSED = ("image-image", "text-image", "text-text")
WITH_IMAGE = ("image-image", "text-text")
WITHOUT_IMAGE = ("text-text", "text-image")
"""Comparisons of the modes `fused` and `auto`; among equally near samples those of an earlier comparison come first."""


class Searchable(Protocol):
    """The part of a datastore that a retriever uses."""

    def __getitem__(self, sample_id: str) -> Sample: ...

    def __contains__(self, sample_id: object) -> bool: ...

    def count(self, modality: str) -> int: ...

    def search(self, vectors: Vectors, modality: str, k: int, *, where: Where | None = None) -> list[Context]: ...

    def vectors(self, ids: Sequence[str], modality: str) -> Mapping[str, Vectors]: ...

    def evenly_spaced_vectors(self, modality: str, most: int) -> Vectors: ...

    def patches(self, ids: Sequence[str], encoder: Encoder) -> Mapping[str, Patches]: ...

    def passages(self, ids: Sequence[str], encoder: Encoder) -> Mapping[str, Vectors]: ...

    def search_identifiers(
        self, identifiers: Collection[str], vector: Vectors, k: int, *, where: Where | None = None
    ) -> tuple[dict[str, float], Context]: ...


@dataclass(slots=True)
class QueryState:
    """The state of a query while its context is searched.

    Attributes:
      searches: what is to be compared with what.
      vectors: its embeddings by modality, and `balanced`, that of its image as it is compared with stored ones.
      own: for a query that is itself a sample: the vectors by modality that no neighbor may come close to.
      patches: of its image, where the encoder compares patches.
      views: vectors and patches of turned pictures by the picture, which all queries of a call share.
    """

    query: Query
    searches: list[Search]
    vectors: dict[str, Vectors] = field(default_factory=dict)
    own: dict[str, Vectors] = field(default_factory=dict)
    patches: Patches | None = None
    views: dict[object, list[Look]] = field(default_factory=dict)
