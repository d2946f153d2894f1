"""Small copies of pictures beside a report, each picture once however often it is shown."""

import hashlib
from pathlib import Path

from camml.durable import disk_errors, replacing
from camml.errors import ImageError
from camml.images import open_image


class Pictures:
    """A writer of thumbnails.

    Args:
      folder: where they go.
      longest: pixels of a copy's longer side.
    """

    def __init__(self, folder: Path, longest: int = 384) -> None:
        self.folder = folder
        self.longest = longest
        self.lost: dict[str, str] = {}
        """Pictures that cannot be shown, with the reason."""
        self._known: dict[Path, str | None] = {}

    def copy(self, source: Path | bytes) -> str | None:
        """Copy a picture and return the copy's file name; None where it cannot be read, for the reason in `lost`.

        Raises:
          DiskError: the folder cannot be written.
        """
        if isinstance(source, bytes):
            return self._copied(source, f"a picture of {len(source)} bytes")
        if source not in self._known:
            try:
                self._known[source] = self._copied(source.read_bytes(), str(source))
            except OSError as error:
                self.lost[str(source)] = error.strerror or "cannot be read"
                self._known[source] = None
        return self._known[source]

    def _copied(self, data: bytes, name: str) -> str | None:
        place = self.folder / f"{hashlib.sha256(data).hexdigest()[:24]}-{self.longest}.jpg"
        if place.is_file():
            return place.name
        try:
            picture = open_image(data, max_side=self.longest)
        except ImageError as error:
            self.lost[name] = str(error)
            return None
        with disk_errors(place):
            self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(place, durable=False) as unfinished:
            picture.save(unfinished, "JPEG", quality=82)
        return place.name
