"""Queries to contexts: one policy of retrieval for training, evaluation, command line and server."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from camml import matching
from camml.encoders import Encoder, PatchEncoder, Patches, among_images, balanced, passage_share, patch_encoder
from camml.errors import EmptyStoreError, ImageError, OptionError
from camml.images import open_image
from camml.likeness import Above, DuplicateDetector, OnDuplicate, Vectors
from camml.matching import Look, by_passages, by_patches, places_found_by, with_named
from camml.ranking import BACKGROUND, check_weights, fuse, merge, usual, weigh
from camml.searches import (
    FUSED,
    IMAGES,
    MODES,
    SEARCHES,
    TEXTS,
    WITH_IMAGE,
    WITHOUT_IMAGE,
    QueryState,
    Search,
    Searchable,
)
from camml.turning import turned
from camml.types import Context, Query, Where
from camml.words import identifiers

POLICY = 8
"""Changes whenever the same settings could find other samples; 1 searched by the picture alone where there was one, 2
compared pictures with one weight for plain and mapped vectors, 3 no patches, 5 no passages, 6 no identifiers, 7 no
turned pictures.
"""

FUSED_DEPTH = 100
"""Neighbors of each search that are fused, so that the first k do not depend on k."""
SPARE = 8
"""Neighbors fetched beyond those wanted, since some may have to go."""


class Retriever:
    """The nearest samples of a datastore, less what would give the answer away and what says the same twice.

    A query with an `id` is itself a sample: neither that sample nor a near-duplicate of it is retrieved, so that
    training and evaluation cannot copy. Of two neighbors with the same text and nearly the same image the nearer stays.

    Args:
      datastore: where to search.
      encoder: what made the vectors of the datastore.
      mode: one of MODES.
      duplicate_above: the cosine from which two vectors of one modality are near-duplicates; by default 0.98, or what
        is as near among the vectors of this datastore if they are narrow; none keeps them all.
      weights: what the query's `image` and its `text` count where mode `auto` compares both; None ranks each sample by
        the one that it stands out most in.
      on_duplicate: called with (duplicate, nearer) for each neighbor dropped as a near-duplicate, maybe repeatedly.

    Raises:
      OptionError: no such mode, or one that this encoder or datastore cannot serve.

    Example:
      >>> from camml import Datastore, Sample, encoders
      >>> encoder = encoders.load("hashed")
      >>> samples = [Sample("pump-7", "The pump needs seal 4711."), Sample("lamp-2", "The lamp needs a bulb.")]
      >>> retriever = Retriever(Datastore.build("store", samples, encoder), encoder)
      >>> [context] = retriever.retrieve([Query("Which seal does the pump need?")], k=1)
      >>> context[0].sample.id
      'pump-7'
    """

    def __init__(
        self,
        datastore: Searchable,
        encoder: Encoder,
        mode: str = "auto",
        duplicate_above: Above = "measured",
        weights: Mapping[str, float] | None = None,
        on_duplicate: OnDuplicate = lambda left_out, nearer: None,
    ) -> None:
        check_weights(weights)
        self.datastore = datastore
        self.encoder = encoder
        self.mode = mode
        self.duplicate_above = duplicate_above
        self.weights = weights
        self.on_duplicate = on_duplicate
        self._duplicates = DuplicateDetector(duplicate_above, datastore.evenly_spaced_vectors, encoder.name)
        self._compares, self._passage_share = patch_encoder(encoder), passage_share(encoder)
        self._least = max(matching.PICTURES if self._compares else 0, matching.TEXTS if self._passage_share else 0)
        works = self.modes()
        if mode not in works and (mode not in MODES or self._holds_anything()):
            known = "does not work with this encoder and datastore" if mode in MODES else "is unknown"
            raise OptionError(f"retrieval mode {mode!r} {known}; these work: {', '.join(works)}")

    def modes(self) -> list[str]:
        """Return the modes that work with this encoder and datastore."""
        return [name for name in MODES if name not in SEARCHES or self._works(SEARCHES[name])]

    def retrieve_some(self, queries: Sequence[Query], k: int) -> list[Context]:
        """Retrieve as `retrieve` does; a query that lacks what the mode searches by gets an empty context."""
        able = [query for query in queries if self._serves(query)]
        contexts = iter(self.retrieve(able, k))
        return [next(contexts) if self._serves(query) else () for query in queries]

    def retrieve(self, queries: Sequence[Query], k: int, where: Where | None = None) -> list[Context]:
        """Return at most k neighbors of each query, nearest first; fewer only where the datastore has no more.

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
        views: dict[object, list[Look]] = {}
        states = [QueryState(query, self._searches(query), views=views) for query in queries]
        self._embed(states)
        contexts = self._ranked(states, max(k, self._least), where)
        return [self._matched(state, context, where)[:k] for state, context in zip(states, contexts, strict=True)]

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
        """Return the comparisons to make for one query."""
        has = {"image": query.image is not None, "text": bool(query.text.strip())}
        if self.mode in SEARCHES:
            wanted = [SEARCHES[self.mode]]
        else:
            names = FUSED if self.mode == "fused" else WITH_IMAGE if has["image"] else WITHOUT_IMAGE
            wanted = [SEARCHES[name] for name in names if has[SEARCHES[name][0]] and self._works(SEARCHES[name])]
        if not wanted or not has[wanted[0][0]]:
            lacking = wanted[0][0] if wanted else "text or image that the datastore can be searched by"
            raise OptionError(f"mode {self.mode!r} cannot serve the query {query.text[:60]!r}: it has no {lacking}")
        return wanted

    def _embed(self, states: Sequence[QueryState]) -> None:
        """Fill in the vectors, with one call of the encoder per modality."""
        needs = []
        for state in states:
            need = {source for source, _ in state.searches}
            if state.query.id is not None and self.duplicate_above is not None:
                self._recall(state)
                need |= {"image"} if state.query.image is not None else set()
                need |= {"text"} if "text" not in state.own and state.query.text.strip() else set()
            needs.append(need - state.vectors.keys())
        by_text = [state for state, need in zip(states, needs, strict=True) if "text" in need]
        by_image = [state for state, need in zip(states, needs, strict=True) if "image" in need]
        if by_text:
            vectors = self.encoder.embed_texts([state.query.text for state in by_text])
            for state, vector in zip(by_text, vectors, strict=True):
                state.vectors["text"] = vector
        if by_image:
            # several questions about one picture take one run of the encoder
            pictures = {_identity(state): state.query.image for state in by_image}
            images = [open_image(image) for image in pictures.values() if image is not None]
            made = self._embedded(images)
            by_picture = dict(zip(pictures, zip(*made, strict=True), strict=True))
            for state in by_image:
                state.vectors["image"], state.patches = by_picture[_identity(state)]
        for state in states:
            if state.query.id is not None and self.duplicate_above is not None:
                state.own = state.vectors | state.own
        seen = [state for state in states if IMAGES in state.searches]
        if seen:
            asked = np.stack([state.vectors["image"] for state in seen])
            for state, vector in zip(seen, balanced(self.encoder, asked, self._background(IMAGES)), strict=True):
                state.vectors["balanced"] = vector

    def _embedded(self, images: Sequence[Image.Image]) -> tuple[Vectors, Sequence[Patches | None]]:
        """Return the vectors of images, and their patches where the encoder compares some."""
        if self._compares is None:
            return self.encoder.embed_images(images), [None] * len(images)
        return self._compares.embed_with_patches(images)

    def _matched(self, state: QueryState, context: Context, where: Where | None) -> Context:
        """Return a context with what was found first by pictures, and by words, in the order of its likeness by parts.

        Texts that hold the numbers and codes of the question come to what was found by words. All others keep their
        places.
        """
        if self._compares is not None and (places := places_found_by(context, *IMAGES, matching.PICTURES)):
            context = self._compared(state, context, places, self._compares)
        if self._passage_share and (places := places_found_by(context, *TEXTS, matching.TEXTS)):
            rarities, named = self._named(state, where)
            context, places = with_named(context, places, named)
            parts = self.datastore.passages([context[place].sample.id for place in places], self.encoder)
            context = by_passages(context, places, self._passage_share, state.vectors["text"], parts, rarities)
        return context

    def _compared(self, state: QueryState, context: Context, places: Sequence[int], encoder: PatchEncoder) -> Context:
        """Return a context whose neighbors at some places are in the order of their pictures, patch by patch."""
        asked, image = state.patches, state.query.image
        if asked is None and state.query.id is not None:  # a sample, whose vector was not computed anew
            asked = self.datastore.patches([state.query.id], self.encoder).get(state.query.id)
            image = None
        if asked is None:
            return context
        names = [context[place].sample.id for place in places]
        patches, vectors = self.datastore.patches(names, self.encoder), self.datastore.vectors(names, "image")
        stored = {name: (vectors[name], patches[name]) for name in patches.keys() & vectors.keys()}

        def views() -> list[Look]:
            if image is None:
                return []
            if (picture := _identity(state)) not in state.views:
                try:
                    made, parts = encoder.embed_with_patches(turned(image))
                except ImageError:  # it went away since it was embedded, which was enough to find samples
                    return []
                made = balanced(self.encoder, made, self._background(IMAGES))
                state.views[picture] = list(zip(made, parts, strict=True))
            return state.views[picture]

        return by_patches(context, places, encoder, (self._vector(state, IMAGES), asked), stored, views)

    def _named(self, state: QueryState, where: Where | None) -> tuple[dict[str, float], Context]:
        """Return how rare the numbers and codes of a question are, and the samples that hold most of them."""
        if not (names := identifiers(state.query.text)):
            return {}, ()
        rarities, named = self.datastore.search_identifiers(names, state.vectors["text"], matching.TEXTS, where=where)
        return rarities, _labelled(self._admitted(state, named), TEXTS)

    def _recall(self, state: QueryState) -> None:
        """Take from the datastore what it knows of a query that is one of its samples."""
        name, image = state.query.id, state.query.image
        if name is None or name not in self.datastore:
            return
        state.own = dict(zip(["text"], self.datastore.vectors([name], "text").values(), strict=False))
        if image is None or image == self.datastore[name].image:  # another image under the same id is another sample
            for vector in self.datastore.vectors([name], "image").values():
                state.own["image"] = vector
                state.vectors |= {"image": vector} if image is not None else {}

    def _ranked(self, states: Sequence[QueryState], k: int, where: Where | None) -> list[Context]:
        """Rank the contexts, fetching deeper until each has k neighbors or the datastore has no more."""
        contexts: dict[int, Context] = {}
        depth = max(k, FUSED_DEPTH) if self.mode == "fused" or self.weights else k
        levels = {
            index: [usual(self._vector(state, search), self._background(search)) for search in state.searches]
            for index, state in enumerate(states)
            if self.mode == "auto" and len(state.searches) > 1
        }
        while pending := [index for index in range(len(states)) if index not in contexts]:
            jobs = [(states[index], search) for index in pending for search in states[index].searches]
            lists = iter(self._lists(jobs, depth, where))
            for index in pending:
                fetched = [next(lists) for _ in states[index].searches]
                its_lists = [context for context, _ in fetched]
                if self.mode == "fused":
                    context = self._distinct(fuse(its_lists))
                else:
                    its_lists = list(map(_labelled, its_lists, states[index].searches))
                    context = its_lists[0]
                    if len(its_lists) > 1:
                        context = self._distinct(self._joined(states[index], its_lists, levels[index]))
                if len(context) >= k or not any(more for _, more in fetched):
                    contexts[index] = context[:k]
            depth *= 2
        return [contexts[index] for index in range(len(states))]

    def _joined(self, state: QueryState, lists: Sequence[Context], levels: Sequence[float]) -> Context:
        """Return what several searches found as one list."""
        if not self.weights or len({source for source, _ in state.searches}) == 1:
            return merge(lists, levels)
        ids = list(dict.fromkeys(neighbor.sample.id for context in lists for neighbor in context))
        cosines = []
        for search in state.searches:
            vector = self._vector(state, search)
            vectors = self.datastore.vectors(ids, search[1])
            cosines.append({name: float(its @ vector) for name, its in vectors.items()})
        return weigh(lists, levels, cosines, [self.weights.get(source, 0.0) for source, _ in state.searches])

    def _vector(self, state: QueryState, search: Search) -> Vectors:
        """Return float32[D] of a query for one of its searches."""
        source, target = search
        if search == IMAGES:
            return state.vectors["balanced"]
        vector = state.vectors[source]
        return vector if source == target else among_images(self.encoder, vector[None])[0]

    def _background(self, search: Search) -> Vectors:
        """Return some vectors of the datastore as a sample of all that are searched."""
        return self.datastore.evenly_spaced_vectors(search[1], BACKGROUND)

    def _lists(
        self, jobs: Sequence[tuple[QueryState, Search]], want: int, where: Where | None
    ) -> list[tuple[Context, bool]]:
        """Return for each job at most `want` neighbors that may stay, and whether the datastore has more."""
        lists: dict[int, tuple[Context, bool]] = {}
        depth = want + SPARE
        while pending := [index for index in range(len(jobs)) if index not in lists]:
            for target in sorted({jobs[index][1][1] for index in pending}):
                chosen = [index for index in pending if jobs[index][1][1] == target]
                vectors = np.stack([self._vector(*jobs[index]) for index in chosen])
                results = self.datastore.search(vectors, target, depth, where=where)
                for index, context in zip(chosen, results, strict=True):
                    admitted = self._admitted(jobs[index][0], context)
                    more = len(context) == depth
                    if len(admitted) >= want or not more:
                        lists[index] = admitted[:want], more or len(admitted) > want
            depth *= 2
        return [lists[index] for index in range(len(jobs))]

    def _admitted(self, state: QueryState, context: Context) -> Context:
        """Return the neighbors that are neither the query itself nor near-duplicates of it or of a nearer one."""
        close = self._close([neighbor.sample.id for neighbor in context], state.own)
        others = tuple(n for n in context if n.sample.id != state.query.id and n.sample.id not in close)
        return self._distinct(others)

    def _close(self, ids: Sequence[str], own: Mapping[str, Vectors]) -> set[str]:
        """Return those of `ids` near to a sample with the vectors `own`: by image where both have one."""
        close: set[str] = set()
        for modality in ("image", "text"):
            if modality in own:
                stored = self.datastore.vectors(ids, modality)
                close |= {
                    name for name, vector in stored.items() if self._duplicates.same(vector, own[modality], modality)
                }
                ids = [name for name in ids if name not in stored]
        return close

    def _distinct(self, context: Context) -> Context:
        """Drop the neighbors with the text and nearly the image of a nearer one."""
        times = Counter(neighbor.sample.text for neighbor in context)
        repeated = [neighbor.sample.id for neighbor in context if times[neighbor.sample.text] > 1]
        if self.duplicate_above is None or not repeated:
            return context
        return self._duplicates.distinct(context, self.datastore.vectors(repeated, "image"), self.on_duplicate)


def _labelled(context: Context, search: Search) -> Context:
    """Return neighbors with the search that found them."""
    return tuple(replace(neighbor, found_by="-".join(search)) for neighbor in context)


def _identity(state: QueryState) -> object:
    """Return a key that is equal for queries with the same picture: its file, or the picture itself."""
    image = state.query.image
    return image if isinstance(image, Path) else id(image)
