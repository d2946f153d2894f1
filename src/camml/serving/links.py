"""Samples as answers show them, with addresses of their pictures that work."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from fastapi import Request

from camml.serving.access import Access
from camml.serving.service import Service, score
from camml.serving.wire import NeighborOut, SampleOut
from camml.types import Neighbor, Sample, finite


@dataclass(frozen=True, slots=True)
class Links:
    """Writes samples into answers.

    Attributes:
      base: the address of this server, as the client knows it.
    """

    service: Service
    access: Access
    base: str = ""

    def at(self, request: Request) -> "Links":
        """Return the same for the client of a request."""
        return replace(self, base=(self.service.settings.public_url or str(request.base_url)).rstrip("/"))

    def sample(self, sample: Sample, store: str | None) -> SampleOut:
        """Return a sample; `store` is where it may be."""
        shelf = self.service.shelves.get(store or "")
        stored = shelf.datastore.get(sample.id) if shelf else None
        # a picture that cannot be used was left out
        origin = store if stored and replace(stored, image=sample.image) == sample else None
        link = None
        if origin and sample.image:
            query = self.access.thumbnail_query(origin, sample.id)
            link = f"{self.base}/v1/stores/{quote(origin)}/thumbnail?{query}"
        meta: dict[str, Any] = finite(sample.meta)
        return SampleOut(id=sample.id, text=sample.text, meta=meta, thumbnail_url=link, store=origin)

    def about(self, sample: Mapping[str, Any]) -> str:
        """Return an address that tells a sample, as answers show it, from all others."""
        if sample["thumbnail_url"]:
            return str(sample["thumbnail_url"])
        store, name = quote(sample["store"] or "given"), quote(sample["id"], safe="")
        return f"{self.base}/v1/stores/{store}/samples?id={name}"

    def neighbor(self, neighbor: Neighbor, store: str | None) -> NeighborOut:
        """Return a sample with its score, the passages that were read, and the one that the answer was taken from."""
        text = neighbor.sample.text
        read = [text[slice(*span)] for span in neighbor.spans] or None
        supporting = text[slice(*neighbor.supporting)] if neighbor.supporting else None
        sample = self.sample(neighbor.sample, store).model_dump()
        return NeighborOut(
            **sample,
            score=score(neighbor.score),
            found_by=neighbor.found_by or None,
            passages=read,
            supporting=supporting,
        )
