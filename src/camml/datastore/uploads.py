"""Pictures that were sent to a server: kept in the datastore, and deleted with the last sample that has them."""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from camml.datastore import pictures
from camml.datastore.table import Table

UPLOADS = "uploads"
"""The folder in a datastore that holds pictures which clients sent, where it does not copy all of its pictures."""
SENT = re.compile(r"(mcp-[0-9a-f]{32}|[0-9a-f]{16}-[0-9a-f]{16})\.[0-9a-z]{1,8}")
"""Names that servers give them; other files in their folder are not ours to delete."""


def uploads_of(folder: Path, table: Table, ids: Iterable[str]) -> set[str]:
    """Return the names of the pictures sent that those of `ids` in `table` have."""
    place = folder / UPLOADS
    if not place.is_dir():
        return set()
    images = [table.sample(key).image for key in table.find(list(ids)).values()]
    return {image.name for image in images if image and image.parent == place and SENT.fullmatch(image.name)}


def delete_unused(folder: Path, now: Table, names: set[str]) -> None:
    """Delete the pictures sent of those names that no sample in `now` has."""
    in_use = pictures.used(now, sorted(names)) if names else names
    for name in names - in_use:
        with suppress(OSError):  # the change that came before is safe
            (folder / UPLOADS / name).unlink()
