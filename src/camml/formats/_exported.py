"""The description that an export of a datastore has of its columns, by which its samples are read again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from camml.errors import SampleError
from camml.formats import _entries, _rows
from camml.formats._texts import plain_text
from camml.types import Sample

MARK = b"camml"
"""The key of the description among the metadata of an Arrow schema."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The columns of an export beside `id`, `text` and `image`.

    Attributes:
      keys: by the name of a column, the key of `meta` that is in it; a null there is a sample without that key.
      texts: columns whose values are JSON texts.
      vectors: columns of vectors, which are no metadata.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    texts: Sequence[str] = ()
    vectors: Sequence[str] = ()

    @classmethod
    def of(cls, metadata: Mapping[bytes, bytes] | None) -> "Exported | None":
        """Return the description in the metadata of a schema; None where the table is no export."""
        try:
            return cls(**json.loads((metadata or {})[MARK]))
        except (KeyError, ValueError, TypeError):
            return None

    def as_metadata(self) -> dict[bytes, bytes]:
        """Return the description as the metadata of a schema."""
        return {MARK: json.dumps(asdict(self)).encode()}

    def find(
        self, row: Mapping[str, Any], place: str, source: Path | str, images: Path, written: Path
    ) -> _entries.Entry:
        """Return the sample in a row, or the error; arguments as in `_rows.find`."""
        entry: dict[str, Any] = {}
        for name, value in row.items():
            if name in self.vectors or (name in self.keys and value is None):
                continue
            try:
                entry[name] = json.loads(value) if name in self.texts else value
            except (ValueError, TypeError):
                return place, SampleError(
                    f"{source}: {place}: its {name} is text that is not JSON; export the datastore again"
                )
        place, sample = _rows.find(entry, place, source, images, written, plain_text)
        if isinstance(sample, Sample):
            sample = replace(sample, meta={self.keys.get(name, name): value for name, value in sample.meta.items()})
        return place, sample
