"""A datastore as the source of the samples that come with questions."""

import math
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from camml.data.origins import store_state
from camml.encoders import passage_share
from camml.errors import EmptyStoreError, OptionError, SampleError
from camml.evaluation.cache import Cache
from camml.evaluation.code import deciding
from camml.evaluation.contexts import Variant
from camml.evaluation.fingerprints import Fingerprints
from camml.evaluation.task import Item, Knowledge
from camml.features.passages import PassageChooser
from camml.formats.folder import origin_of
from camml.json_values import digest
from camml.types import Context, Neighbor, Query

if TYPE_CHECKING:
    from camml.datastore import Datastore
    from camml.retriever import Retriever


class Evidence:
    """A datastore as the source of all kinds of context.

    Args:
      store: its name, as on the command line.
      datastore, retriever: opened.
      depth: how many samples are retrieved, of which the first are used.
      seed: of random samples.
      cache: where it is remembered what was found.
      fingerprints: of the pictures searched by.
      opened: how the datastore was opened, where that is not as it says itself, see `unusual`.
    """

    def __init__(
        self, store: str, datastore: "Datastore", retriever: "Retriever", depth: int, seed: int,
        cache: Cache, fingerprints: Fingerprints, opened: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        if not len(datastore):
            raise EmptyStoreError(f"{store} holds no samples; add some with `camml store add`")
        self.datastore = datastore
        self.retriever = retriever
        self.chooser = PassageChooser.beside(store, retriever.encoder)
        self.depth = depth
        self.seed = seed
        self.hash, self.generation = store_state(store)
        self.opened = dict(opened or {})
        self.searched = 0
        self._cache = cache
        self._fingerprints = fingerprints
        self._ids: list[str] = []
        self._about: dict[str, list[str]] = {}

    def check(self, shots: int) -> None:
        """Raise if there are fewer samples than asked for.

        Raises:
          OptionError: the datastore holds fewer samples than `shots`.
        """
        if shots > len(self.datastore):
            raise OptionError(f"shots is {shots}, but the datastore holds {len(self.datastore)} samples")

    def find(self, variant: Variant, queries: Sequence[Query], ids: Sequence[str]) -> list[Context]:
        """Return what was retrieved or drawn for each query; the first `variant.shots` are to be used.

        Args:
          ids: of the queries; what is drawn at random depends on them.
        """
        if variant.context == "none" or not queries:
            return [()] * len(queries)
        if variant.context == "random":
            return [self._drawn(name, variant.shots) for name in ids]
        return self._retrieved(queries, max(self.depth, variant.shots))

    def _retrieved(self, queries: Sequence[Query], depth: int) -> list[Context]:
        """Return the nearest samples, from the cache if all these queries were searched for before."""
        keys = [self._key(query, depth) for query in queries]
        known = [self._cache.get(key) for key in keys]
        cached = [entry for entry in known if entry]
        if len(cached) == len(queries):
            return [self._neighbors(entry["neighbors"]) for entry in cached]
        contexts = self.retriever.retrieve(queries, depth)
        self.searched += len(queries)
        for key, context in zip(keys, contexts, strict=True):
            self._cache.put(key, {"neighbors": [_record(neighbor) for neighbor in context]})
        return contexts

    def _neighbors(self, records: Sequence[Mapping[str, Any]]) -> Context:
        return tuple(Neighbor(self.datastore[record["id"]], **record["facts"]) for record in records)

    def _key(self, query: Query, depth: int) -> str:
        """Hash all that the result of a search depends on."""
        image = query.image
        pixels = image.tobytes() if isinstance(image, Image.Image) else None
        facts = {
            **deciding(),
            "store": self.hash,
            "encoder": [self.retriever.encoder.name, self.retriever.encoder.revision],  # a published pair names none
            "mode": self.retriever.mode,
            "patches": getattr(self.retriever.encoder, "patches", 0),
            "passages": passage_share(self.retriever.encoder),
            "duplicate_above": self.retriever.duplicate_above,
            "depth": depth,
            **self.opened,
            "query": [query.text, query.id],
            "picture": self._fingerprints.picture(image if isinstance(image, Path) else pixels),
        }
        return digest(facts)

    def led_by_right(self, knowledge: Knowledge, item: Item, retrieved: Context) -> Context:
        """Put the nearest right sample first; where none was retrieved, the first right one of the datastore.

        Raises:
          SampleError: the datastore holds no right one.
        """
        if not self._about:
            for sample in self.datastore:
                self._about.setdefault(knowledge.about(sample) or "", []).append(sample.id)
        known = (Neighbor(self.datastore[name], math.nan) for name in self._about.get(item.cluster, []))
        every = (neighbor for neighbors in (retrieved, known) for neighbor in neighbors)
        right = next((neighbor for neighbor in every if knowledge.right(item, neighbor.sample)), None)
        if right is None:
            raise SampleError(f"the datastore holds no sample that answers question {item.id}; is it the right one?")
        return (right, *(neighbor for neighbor in retrieved if neighbor.sample.id != right.sample.id))

    def _drawn(self, query_id: str, shots: int) -> Context:
        """Draw samples that have nothing to do with the query, the same ones in every run."""
        self._ids = self._ids or [sample.id for sample in self.datastore]
        drawn = random.Random(f"{self.seed} {query_id}").sample(self._ids, min(shots + 1, len(self._ids)))
        others = [name for name in drawn if name != query_id][:shots]
        return tuple(Neighbor(self.datastore[name], math.nan) for name in others)


def unusual(recorded: Mapping[str, Any], options: Mapping[str, Any] | None, images: str | None) -> dict[str, Any]:
    """Return the settings a datastore is opened with that differ from those it records; they may change what is found.

    Args:
      recorded: the options of its encoder that it says.
      options: those given instead, such as `patches`, of which the encoder's revision tells nothing; None for none.
      images: the folder of its pictures, where one was given; "none" for a published pair without any.
    """
    from camml.datastore.official import NO_PICTURES

    given = {} if options is None else _with_plain_names(options)
    opened: dict[str, Any] = {"encoder_options": given} if given and given != _with_plain_names(recorded) else {}
    if images is not None:
        opened["images"] = images if images == NO_PICTURES else origin_of(Path(images))
    return opened


def _with_plain_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options in which files are named without their folders: the encoder's revision tells what they hold."""
    return {
        name: os.path.basename(value) if isinstance(value, str) and os.path.isabs(value) else value
        for name, value in options.items()
    }


def _record(neighbor: Neighbor) -> dict[str, Any]:
    """Return what is kept of a neighbor: all that decides how it is read, not its sample."""
    facts = {"score": float(neighbor.score), "found_by": neighbor.found_by, "likeness": neighbor.likeness}
    return {"id": neighbor.sample.id, "facts": facts}
