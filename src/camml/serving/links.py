"""Samples as answers show them, with addresses of their pictures that work."""

from dataclasses import dataclass, replace
from urllib.parse import quote

from fastapi import Request

from camml.serving.access import Access
from camml.serving.service import Service, score
from camml.serving.wire import FoundSample, SampleOut
from camml.types import Neighbor, Sample


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
        """The same for the client of a request."""
        return replace(self, base=(self.service.settings.public_url or str(request.base_url)).rstrip("/"))

    def sample(self, sample: Sample, store: str | None) -> SampleOut:
        """A sample; `store` is where it may be."""
        shelf = self.service.shelves.get(store or "")
        home = store if shelf and sample.id in shelf.datastore and shelf.datastore[sample.id] == sample else None
        link = None
        if home and sample.image:
            query = self.access.thumbnail_query(home, sample.id)
            link = f"{self.base}/v1/stores/{quote(home)}/thumbnail?{query}"
        return SampleOut(id=sample.id, text=sample.text, meta=dict(sample.meta), thumbnail_url=link, store=home)

    def found(self, neighbor: Neighbor, store: str | None) -> FoundSample:
        """A sample with its score."""
        return FoundSample(**self.sample(neighbor.sample, store).model_dump(), score=score(neighbor.score))
