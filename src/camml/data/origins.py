"""Hashes of datasets and datastores, so that nothing is trained on neighbors of other data."""

import hashlib
from pathlib import Path

from camml.datastore import official_pair, read_manifest
from camml.durable import digest
from camml.errors import SampleError, StoreNotFoundError


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
      SampleError: it cannot be read.
    """
    try:
        return digest(path)
    except OSError as error:
        raise SampleError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def store_state(name: str) -> tuple[str, int]:
    """Return the hash of what the datastore called `name` holds now, and its generation.

    Raises:
      StoreNotFoundError: there is none.
    """
    if pair := official_pair(name):
        for path in pair:
            if not path.is_file():
                raise StoreNotFoundError(f"no file {path}")
        return hashlib.sha256("".join(map(file_hash, pair)).encode()).hexdigest(), 0
    manifest = read_manifest(Path(name))
    facts = [manifest.encoder.name, manifest.encoder.revision, *(file.sha256 for file in manifest.files)]
    return hashlib.sha256(" ".join([*facts, *map(str, manifest.removed)]).encode()).hexdigest(), manifest.generation
