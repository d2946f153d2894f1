"""The ways in which a request may have samples found: the mode, which of them, and in what order."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, Strict

from camml.serving.messages import NoTruth
from camml.types import Range, is_bound


@dataclass(frozen=True, slots=True)
class Search:
    """The way in which samples are found.

    Attributes:
      mode: one of `camml.searches.MODES`; None for the server's.
      where: values, or a `Range`, that the samples' `meta` must hold.
      weights: what the query's `image` and its `text` count; None for the server's.
      rerank: whether its cross-encoder puts them into order; None where it does if there is one.
    """

    mode: str | None = None
    where: Mapping[str, Any] | None = None
    weights: Mapping[str, float] | None = None
    rerank: bool | None = None


def _range(bounds: Mapping[str, Any]) -> Range:
    """Return the bounds of a filter.

    Raises:
      ValueError: one is neither a number nor a date.
    """
    texts = {sign: _written(bound) for sign, bound in bounds.items()}
    for text in texts.values():
        if not is_bound(text):
            raise ValueError(f"{text!r} is neither a number nor a date such as 2024-05-31")
    return Range(tuple(texts.items()))


def _written(bound: str | int | float) -> str:
    return bound.strip() if isinstance(bound, str) else format(Decimal(repr(bound)), "f")


Sign = Literal["<", "<=", ">", ">="]
Bound = Annotated[str, Field(max_length=40)] | Annotated[int, Strict()] | Annotated[float, Strict()]
Bounds = Annotated[dict[Sign, Bound], Field(min_length=1), AfterValidator(_range)]
Key = Annotated[str, Field(max_length=200)]
Wanted = Annotated[str, Field(max_length=2000)] | bool | int | float | Bounds | None
Filter = Annotated[
    dict[Key, Wanted],
    Field(
        max_length=32,
        description='only samples with these values in their meta; {"<=": 20} and the like compare numbers and dates',
    ),
]
Weight = Annotated[float, Field(ge=0, le=1e6), NoTruth]


class Searching(BaseModel):
    """The part of a request that says how samples are found."""

    mode: Annotated[str, Field(max_length=40)] | None = Field(
        None, description="auto, text-image, image-image, text-text or fused; the model's own if not given"
    )
    filter: Filter | None = None
    weights: dict[Literal["image", "text"], Weight] | None = Field(
        None, description="what picture and words count where both are compared"
    )
    rerank: bool | None = Field(None, description="whether the server's cross-encoder puts what was found into order")

    def search(self) -> Search:
        """Return it as datastores take it."""
        weights = None if self.weights is None else {str(name): size for name, size in self.weights.items()}
        return Search(self.mode, self.filter, weights, self.rerank)
