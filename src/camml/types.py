"""The values that pass between rooms.

Letters of all tensor shapes in this project:

    B  rows of a batch (questions)        T  tokens in a row, placeholders included
    D  width of an embedding              P  width of the perceivers
    S  samples of a whole batch           L  tokens of one image or text, padding included
    M  learned queries of the perceiver   N  vectors or items, K  neighbors of one query
    V  size of the vocabulary             H, W  height and width of an image in pixels
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from camml.passages import join


@dataclass(frozen=True, slots=True)
class Sample:
    """One piece of knowledge: a text, mostly with an image, under a stable id.

    Example:
      >>> Sample("pump-7", "The pump needs seal 4711.", Path("pump.jpg"), {"site": "Bern"}).meta["site"]
      'Bern'
    """

    id: str
    text: str
    image: Path | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


UNFIT_FOR_IDS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff/\\]")
"""What an id must not hold: slashes, line breaks and other control characters, halves of characters.

Everything else may be in one: spaces of every width, and the signs that join letters, which many languages need.
"""

Where = Mapping[str, Any] | Callable[[Sample], bool]
"""Which samples may be retrieved: values that their `meta` must hold, or a function that decides."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question to retrieve for; `id` names the query's own sample, if it has one, so that it is never retrieved.

    Example:
      >>> Query("Which seal does it need?", image=Path("photo.jpg")).text
      'Which seal does it need?'
    """

    text: str = ""
    image: Path | Image.Image | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A retrieved sample and its score: the cosine in [-1, 1], or the fused rank score in mode `fused`.

    Where a list joins several searches its order is by how far each stands out, so cosines need not fall.

    Attributes:
      spans: the passages of the sample's text that are read, by their characters; none where all of it is.

    Example:
      >>> sample = Sample("pump-7", "Built in Bern. It needs seal 4711.")
      >>> Neighbor(sample, 0.83, spans=((15, 34),)).text
      'It needs seal 4711.'
    """

    sample: Sample
    score: float
    spans: tuple[tuple[int, int], ...] = ()

    @property
    def text(self) -> str:
        """The text that is read."""
        return join(self.sample.text, self.spans) if self.spans else self.sample.text

    @property
    def read(self) -> Sample:
        """The sample with the text that is read."""
        return replace(self.sample, text=self.text) if self.spans else self.sample


Context = tuple[Neighbor, ...]
"""The retrieved samples of one query, nearest first."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer and what it was made from.

    Example:
      >>> Prediction("Seal 4711", notes=("the picture was not seen",)).notes
      ('the picture was not seen',)
    """

    text: str
    context: Context = ()
    prompt: str = ""
    prompt_tokens: int = 0
    new_tokens: int = 0
    notes: tuple[str, ...] = ()
    """What a person should know: a truncated sample, a context without images, ..."""
    unanswered: str = ""
    """Why there is no answer (an endpoint gave no usable text); empty where there is one. Such a text is empty."""


def finite(value: Any) -> Any:
    """Return a value of JSON without numbers that JSON does not have, which no browser reads."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
