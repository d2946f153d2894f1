"""Retrieval for evaluation, the same for `camml eval run` and lmms-eval."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from camml.encoders import Encoder
    from camml.retriever import Retriever
    from camml.searches import Searchable

PUBLISHED = "text-image"
"""Source: the paper's evaluation, which compares the question's text with the images of the datastore."""


def retriever_of(
    datastore: "Searchable", encoder: "Encoder", mode: str | None = None, keep_duplicates: bool = False
) -> "Retriever":
    """Return what retrieves for questions of a benchmark.

    Args:
      mode: by default auto, and text-image over vectors of pictures alone, which the published indexes have.
      keep_duplicates: let samples be found that are the question itself, or nearly, as the published evaluation did.

    Raises:
      OptionError: no such mode, or one that this encoder or datastore cannot serve.
    """
    from camml.retriever import Retriever

    published = not datastore.count("text") and PUBLISHED in Retriever(datastore, encoder).modes()
    chosen = mode or (PUBLISHED if published else "auto")
    return Retriever(datastore, encoder, chosen, None if keep_duplicates else "measured")
