"""Queries to contexts: one policy of retrieval for training, evaluation, command line and server."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from camml.encoders import Encoder, Vectors, embed_texts_as_images
from camml.errors import EmptyStoreError, OptionError
from camml.images import open_image
from camml.types import Context, Neighbor, Query, Sample, Where

Search = tuple[str, str]
"""The modality of the query and that of the samples it is compared with."""

SEARCHES: Mapping[str, Search] = {
    "text-image": ("text", "image"),
    "image-image": ("image", "image"),
    "text-text": ("text", "text"),
}
MODES = ("auto", *SEARCHES, "fused")
"""`auto` compares with everything that can answer: a picture with pictures, words with texts, and words alone with
pictures too where they can be compared; `fused` joins all comparisons by reciprocal rank."""

HANDICAP = 2.0
"""By how many standard deviations the second comparison of `auto` must beat the first one.

Scores of different comparisons mean different things, so each is counted in standard deviations above what the query
scores with samples drawn by chance. Source: `benchmarks/retrieval.py`, with its figures in docs/retrieval.md.
"""
SMALLEST_SPREAD = 0.02
"""Of cosines: so few samples or so alike that chance says nothing about them."""

AS_IMAGE = "text-image"
RANK_OFFSET = 60
"""Source: Cormack, Clarke and Buettcher 2009, "Reciprocal Rank Fusion outperforms Condorcet", section 2."""
FUSED_DEPTH = 100
"""Neighbors of each search that are fused, so that the first k do not depend on k."""
ROUNDING = 1e-6
"""By how much the cosine of two equal vectors may fall short of 1."""
SPARE = 8
"""Neighbors fetched beyond those wanted, since some may have to go."""


class Searchable(Protocol):
    """What a retriever needs of a datastore."""

    def __getitem__(self, sample_id: str) -> Sample: ...

    def __contains__(self, sample_id: object) -> bool: ...

    def count(self, modality: str) -> int: ...

    def background(self, modality: str) -> Vectors: ...

    def search(self, vectors: Vectors, modality: str, k: int, *, where: Where | None = None) -> list[Context]: ...

    def vectors(self, ids: Sequence[str], modality: str) -> Mapping[str, Vectors]: ...


@dataclass(slots=True)
class Sought:
    """A query on its way.

    Attributes:
      searches: what is to be compared with what, the one that says most first.
      vectors: its embeddings by modality; "text-image" for that of its words among pictures.
      own: for a query that is itself a sample: the vectors by modality that no neighbor may come close to.
    """

    query: Query
    searches: list[Search]
    vectors: dict[str, Vectors] = field(default_factory=dict)
    own: dict[str, Vectors] = field(default_factory=dict)


class Retriever:
    """The nearest samples of a datastore, less what would give the answer away and what says the same twice.

    A query with an `id` is itself a sample: neither that sample nor a near-duplicate of it is retrieved, so that
    training and evaluation cannot copy. Of two neighbors with the same text and nearly the same image the nearer stays.

    Args:
      datastore: where to search.
      encoder: what made the vectors of the datastore.
      mode: one of MODES.
      duplicate_above: the cosine from which two vectors of one modality are near-duplicates; none keeps them all.

    Raises:
      OptionError: no such mode, or one that this encoder or datastore cannot serve.
    """

    def __init__(
        self, datastore: Searchable, encoder: Encoder, mode: str = "auto", duplicate_above: float | None = 0.98
    ) -> None:
        if duplicate_above is not None and not 0 < duplicate_above <= 1:
            raise OptionError(f"duplicate_above is a cosine above 0 and at most 1, not {duplicate_above}")
        self.datastore = datastore
        self.encoder = encoder
        self.mode = mode
        self.duplicate_above = duplicate_above
        works = self.modes()
        if mode not in works and (mode not in MODES or self._holds_anything()):
            known = "does not work with this encoder and datastore" if mode in MODES else "is unknown"
            raise OptionError(f"retrieval mode {mode!r} {known}; these work: {', '.join(works)}")

    def modes(self) -> list[str]:
        """The modes that work with this encoder and datastore."""
        return [name for name in MODES if name not in SEARCHES or self._works(SEARCHES[name])]

    def retrieve_some(self, queries: Sequence[Query], k: int) -> list[Context]:
        """As `retrieve`, with an empty context for each query that lacks what the mode searches by."""
        able = [query for query in queries if self._serves(query)]
        found = iter(self.retrieve(able, k))
        return [next(found) if self._serves(query) else () for query in queries]

    def retrieve(self, queries: Sequence[Query], k: int, where: Where | None = None) -> list[Context]:
        """At most k neighbors of each query, nearest first; fewer only where the datastore has no more.

        Args:
          where: values that the samples' `meta` must hold, or a function that says which samples may be retrieved.

        Raises:
          OptionError: k is below 1, or a query lacks what the mode searches by.
          EmptyStoreError: the datastore holds nothing to find.
        """
        if k < 1:
            raise OptionError(f"the number of samples to retrieve must be at least 1, not {k}")
        if queries and not self._holds_anything():
            raise EmptyStoreError("the datastore holds no samples to retrieve; add some with `camml store add`")
        sought = [Sought(query, self._searches(query)) for query in queries]
        self._embed(sought)
        return self._ranked(sought, k, where)

    def _holds_anything(self) -> bool:
        return self.datastore.count("text") + self.datastore.count("image") > 0

    def _works(self, search: Search) -> bool:
        source, target = search
        return (source == target or self.encoder.joint) and self.datastore.count(target) > 0

    def _serves(self, query: Query) -> bool:
        try:
            return bool(self._searches(query))
        except OptionError:
            return False

    def _searches(self, query: Query) -> list[Search]:
        """What is compared with what for one query."""
        has = {"image": query.image is not None, "text": bool(query.text.strip())}
        if self.mode in SEARCHES:
            wanted = [SEARCHES[self.mode]]
        else:
            order = ("image-image", "text-text", "text-image")
            wanted = [SEARCHES[name] for name in order if has[SEARCHES[name][0]] and self._works(SEARCHES[name])]
            if self.mode == "auto":  # words beside a picture speak about what is seen: they are for texts
                wanted = wanted[:2]
        if not wanted or not has[wanted[0][0]]:
            lacking = wanted[0][0] if wanted else "text or image that the datastore can be searched by"
            raise OptionError(f"mode {self.mode!r} cannot serve the query {query.text[:60]!r}: it has no {lacking}")
        return wanted

    def _embed(self, sought: Sequence[Sought]) -> None:
        """Fill in the vectors, with one call of the encoder per modality."""
        needs = []
        for one in sought:
            need = {self._vector_of(search) for search in one.searches}
            if one.query.id is not None and self.duplicate_above is not None:
                self._recall(one)
                need |= {"image"} if one.query.image is not None else set()
                need |= {"text"} if "text" not in one.own and one.query.text.strip() else set()
            needs.append(need - one.vectors.keys())
        by_text = [one for one, need in zip(sought, needs, strict=True) if "text" in need]
        as_images = [one for one, need in zip(sought, needs, strict=True) if AS_IMAGE in need]
        by_image = [one for one, need in zip(sought, needs, strict=True) if "image" in need]
        if by_text:
            for one, vector in zip(by_text, self.encoder.embed_texts([one.query.text for one in by_text]), strict=True):
                one.vectors["text"] = vector
        if as_images:
            mapped = embed_texts_as_images(self.encoder, [one.query.text for one in as_images])
            for one, vector in zip(as_images, mapped, strict=True):
                one.vectors[AS_IMAGE] = vector
        if by_image:
            # several questions about one picture take one run of the encoder
            pictures = {_identity(one): one.query.image for one in by_image}
            images = [open_image(image) for image in pictures.values() if image is not None]
            vectors = dict(zip(pictures, self.encoder.embed_images(images), strict=True))
            for one in by_image:
                one.vectors["image"] = vectors[_identity(one)]
        for one in sought:
            if one.query.id is not None and self.duplicate_above is not None:
                one.own = one.vectors | one.own

    def _recall(self, one: Sought) -> None:
        """Take from the datastore what it knows of a query that is one of its samples."""
        name, image = one.query.id, one.query.image
        if name is None or name not in self.datastore:
            return
        one.own = dict(zip(["text"], self.datastore.vectors([name], "text").values(), strict=False))
        if image is None or image == self.datastore[name].image:  # another image under the same id is another sample
            for vector in self.datastore.vectors([name], "image").values():
                one.own["image"] = vector
                one.vectors |= {"image": vector} if image is not None else {}

    def _ranked(self, sought: Sequence[Sought], k: int, where: Where | None) -> list[Context]:
        """The contexts, fetched deeper and deeper until each has k neighbors or the datastore has no more."""
        contexts: dict[int, Context] = {}
        depth = max(k, FUSED_DEPTH) if self.mode == "fused" else k
        while pending := [index for index in range(len(sought)) if index not in contexts]:
            jobs = [(sought[index], search) for index in pending for search in sought[index].searches]
            lists = iter(self._lists(jobs, depth, where))
            for index in pending:
                its_lists = [next(lists) for _ in sought[index].searches]
                context = its_lists[0][0]
                if len(its_lists) > 1:
                    found = [context for context, _ in its_lists]
                    joined = fuse(found) if self.mode == "fused" else self._merged(sought[index], found)
                    context = self._distinct(joined)[:k]
                if len(context) == k or not any(more for _, more in its_lists):
                    contexts[index] = context
            depth *= 2
        return [contexts[index] for index in range(len(sought))]

    def _vector_of(self, search: Search) -> str:
        """Return which vector of a query a comparison takes."""
        apart = hasattr(self.encoder, "embed_texts_as_images")  # else one vector of a text finds texts and images
        return AS_IMAGE if apart and search == SEARCHES["text-image"] else search[0]

    def _merged(self, one: Sought, lists: Sequence[Context]) -> Context:
        """Return the neighbors of several comparisons, each by the one in which it stands out most from chance."""
        best: dict[str, tuple[float, Neighbor]] = {}
        for place, (search, context) in enumerate(zip(one.searches, lists, strict=True)):
            chance = self.datastore.background(search[1]) @ one.vectors[self._vector_of(search)]
            mean, spread = (float(chance.mean()), float(chance.std())) if len(chance) else (0.0, 0.0)
            for neighbor in context:
                above = (neighbor.score - mean) / max(spread, SMALLEST_SPREAD) - HANDICAP * (place > 0)
                if neighbor.sample.id not in best or above > best[neighbor.sample.id][0]:
                    best[neighbor.sample.id] = above, neighbor
        return tuple(neighbor for _, neighbor in sorted(best.values(), key=lambda entry: -entry[0]))

    def _lists(
        self, jobs: Sequence[tuple[Sought, Search]], want: int, where: Where | None
    ) -> list[tuple[Context, bool]]:
        """For each job at most `want` neighbors that may stay, and whether the datastore has more."""
        lists: dict[int, tuple[Context, bool]] = {}
        depth = want + SPARE
        while pending := [index for index in range(len(jobs)) if index not in lists]:
            for target in sorted({jobs[index][1][1] for index in pending}):
                chosen = [index for index in pending if jobs[index][1][1] == target]
                vectors = np.stack([jobs[index][0].vectors[self._vector_of(jobs[index][1])] for index in chosen])
                found = self.datastore.search(vectors, target, depth, where=where)
                for index, context in zip(chosen, found, strict=True):
                    kept = self._admitted(jobs[index][0], context)
                    more = len(context) == depth
                    if len(kept) >= want or not more:
                        lists[index] = kept[:want], more or len(kept) > want
            depth *= 2
        return [lists[index] for index in range(len(jobs))]

    def _admitted(self, one: Sought, context: Context) -> Context:
        """The neighbors that are neither the query itself nor near-duplicates of it or of a nearer one."""
        close = self._close([neighbor.sample.id for neighbor in context], one.own)
        others = tuple(n for n in context if n.sample.id != one.query.id and n.sample.id not in close)
        return self._distinct(others)

    def _close(self, ids: Sequence[str], own: Mapping[str, Vectors]) -> set[str]:
        """Those of `ids` that are near-duplicates of a sample with the vectors `own`: by image where both have one."""
        close: set[str] = set()
        for modality in ("image", "text"):
            if modality in own:
                found = self.datastore.vectors(ids, modality)
                close |= {name for name, vector in found.items() if self._same(vector, own[modality])}
                ids = [name for name in ids if name not in found]
        return close

    def _distinct(self, context: Context) -> Context:
        """The neighbors less those with the text and nearly the image of a nearer one."""
        times = Counter(neighbor.sample.text for neighbor in context)
        repeated = [neighbor.sample.id for neighbor in context if times[neighbor.sample.text] > 1]
        if self.duplicate_above is None or not repeated:
            return context
        images = self.datastore.vectors(repeated, "image")
        kept: list[Neighbor] = []
        of_text: dict[str, list[Vectors | None]] = {}
        for neighbor in context:
            image = images.get(neighbor.sample.id)
            nearer = of_text.setdefault(neighbor.sample.text, [])
            if not any(self._same(image, other) for other in nearer):
                nearer.append(image)
                kept.append(neighbor)
        return tuple(kept)

    def _same(self, one: Vectors | None, other: Vectors | None) -> bool:
        """Near-duplicates: two vectors close enough, or two samples that both have none."""
        if one is None or other is None or self.duplicate_above is None:
            return one is other
        return float(one @ other) >= self.duplicate_above - ROUNDING


def _identity(one: Sought) -> object:
    """Equal for queries with one picture: its file, or the picture itself."""
    image = one.query.image
    return image if isinstance(image, Path) else id(image)


def fuse(lists: Sequence[Context]) -> Context:
    """The neighbors of all lists by their new score, the sum of 1 / (RANK_OFFSET + rank); rank counts from 1."""
    scores: dict[str, float] = {}
    samples: dict[str, Sample] = {}
    for context in lists:
        for rank, neighbor in enumerate(context, start=1):
            samples.setdefault(neighbor.sample.id, neighbor.sample)
            scores[neighbor.sample.id] = scores.get(neighbor.sample.id, 0.0) + 1 / (RANK_OFFSET + rank)
    order = sorted(scores, key=lambda name: -scores[name])  # equal ones stay in the order of the lists
    return tuple(Neighbor(samples[name], scores[name]) for name in order)
