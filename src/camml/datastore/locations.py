"""The location of a datastore's vectors, if they are not in its files."""

import os
import secrets
from pathlib import Path

from camml import stores
from camml.datastore.files import write_file
from camml.datastore.manifest import Manifest
from camml.datastore.places import below
from camml.durable import disk_errors, sync_folder
from camml.stores import ServedStore

WORK = "work"
NOTE = "collection"


def served(folder: Path, manifest: Manifest, modality: str) -> ServedStore:
    """Connect to the served store of `modality`."""
    name = f"{manifest.collection}_{modality}"
    return stores.connect(manifest.store, place(folder, manifest.location), name, manifest.encoder.dim(modality))


def place(folder: Path, location: str) -> str:
    """Return a location as a vector store takes it: a path in the datastore becomes an absolute one."""
    return location if "://" in location else os.path.join(os.path.realpath(folder), location)


def stored_location(folder: Path, location: str) -> str:
    """Return how the manifest names a location: a file in the datastore relative to it, so that they move together."""
    name = None if "://" in location else below(Path(location), folder)
    return location if name is None else name


def collection_name(folder: Path) -> str:
    """Make a collection name that no other datastore has; an interrupted build that resumes gets the same one again."""
    note = folder / WORK / NOTE
    if not note.exists():
        with disk_errors(note):
            note.parent.mkdir(parents=True, exist_ok=True)
        write_file(note.parent, NOTE, lambda path: path.write_text(f"camml_{secrets.token_hex(8)}"))
        sync_folder(note.parent)
    return note.read_text()
