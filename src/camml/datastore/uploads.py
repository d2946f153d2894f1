"""Pictures that were sent to a server: kept in the datastore, and deleted with the last sample that has them."""

import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from camml.datastore import pictures
from camml.datastore.table import Table
from camml.durable import UNFINISHED

UPLOADS = "uploads"
"""The folder in a datastore that holds pictures which clients sent, where it does not copy all of its pictures."""
SENT = re.compile(r"(mcp-[0-9a-f]{32}|[0-9a-f]{16}-[0-9a-f]{16})\.[0-9a-z]{1,8}")
"""Names that servers give them; other files in their folder are not ours to delete."""
LEFT = re.compile(rf"{SENT.pattern}(\.\d+-[0-9a-f]+{re.escape(UNFINISHED)})?")
"""Names of what may be left of an addition that was killed."""
SECONDS = 24 * 3600.0
"""The age from which a picture without a sample was left behind: a younger one may be about to get its sample."""


def uploads_of(folder: Path, table: Table, ids: Iterable[str]) -> set[str]:
    """Return the names of the pictures sent that those of `ids` in `table` have."""
    place = folder / UPLOADS
    if not place.is_dir():
        return set()
    images = [table.sample(key).image for key in table.find(list(ids)).values()]
    return {image.name for image in images if image and image.parent == place and SENT.fullmatch(image.name)}


def delete_unused(folder: Path, now: Table, names: set[str]) -> None:
    """Delete the pictures sent of those names that no sample in `now` has, and old ones that were left behind."""
    names = names | _old(folder / UPLOADS)
    in_use = pictures.used(now, sorted(names)) if names else names
    for name in names - in_use:
        with suppress(OSError):  # the change that came before is safe
            (folder / UPLOADS / name).unlink()


def _old(place: Path) -> set[str]:
    """Return the names of the pictures sent that are old; most of them are those of samples."""
    latest = time.time() - SECONDS
    names = set[str]()
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if LEFT.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_mtime < latest:
                names.add(entry.name)
    return names
