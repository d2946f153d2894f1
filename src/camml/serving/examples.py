"""Questions to begin with, which the page offers: a file of samples whose texts are the questions."""

import base64
import io
from itertools import islice
from pathlib import Path

from camml import formats
from camml.errors import SampleError
from camml.images import open_image
from camml.types import Sample

MOST = 8
"""Examples that are offered; more are not read by anybody."""
SIDE = 768
"""Pixels of the longer side of their pictures."""

Example = dict[str, str | None]
"""`question`, and `image` as a data URL or None."""


def read_examples(file: Path) -> list[Example]:
    """Return the first examples of a file.

    Raises:
      SampleError: it cannot be read, or holds no questions.
      ImageError: a picture cannot be read.
    """
    examples = [_example(sample, file) for sample in islice(formats.read(file, mend_ids=True), MOST)]
    if not examples:
        raise SampleError(f"{file} holds no examples; write samples whose texts are questions")
    return examples


def _example(sample: Sample, file: Path) -> Example:
    if not sample.text.strip():
        raise SampleError(f"{file}: the sample with the id {sample.id!r} has no text; write the question there")
    return {"question": sample.text.strip(), "image": None if sample.image is None else _data_url(sample.image)}


def _data_url(path: Path) -> str:
    """Return a picture that travels with the page's setup, as `<img>` cannot send a key to fetch it."""
    stream = io.BytesIO()
    open_image(path, max_side=SIDE).save(stream, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
