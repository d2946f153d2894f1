"""Hashes of all that an answer depends on: models, pictures, samples."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from camml.data.origins import file_hash
from camml.errors import ModelFolderError
from camml.json_values import digest
from camml.types import Context

BESIDE = re.compile(
    r"(checkpoint-\d+|abandoned-.+|global_step\d+|runs|teacher)/.*"
    r"|run\.json|loss\.png|trainer_state\.json|training_args\.bin|(optimizer|scheduler|scaler)\.pt|rng_state.*\.pth"
)
"""Files of training in a model's folder, on which no answer depends: checkpoints, states of optimizers, its records."""


class Fingerprints:
    """Hashes of contents; a file is read again only when its size or time has changed."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, int, int], str] = {}

    def file(self, path: Path) -> str:
        """Return the SHA-256 of a file.

        Raises:
          SampleError: it cannot be read.
        """
        try:
            facts = path.stat()
        except OSError:
            return file_hash(path)  # says what is wrong
        key = (str(path), facts.st_size, facts.st_mtime_ns)
        if key not in self._files:
            self._files[key] = file_hash(path)
        return self._files[key]

    def folder(self, folder: Path) -> str:
        """Hash all files of a model, their names and contents: weights, configuration, tokenizer.

        Model cards (`*.md`), hidden files and folders, and what training keeps beside a model are left out: they do not
        change its answers.

        Raises:
          ModelFolderError: no such folder.
        """
        if not folder.is_dir():
            raise ModelFolderError(f"no folder {folder}; give a model folder, or fetch a model with `camml fetch`")
        names = sorted(name for name in _names(folder) if not name.endswith(".md") and not BESIDE.fullmatch(name))
        return digest({name: self.file(folder / name) for name in names})

    def picture(self, image: Path | bytes | None) -> str | None:
        """Hash a picture as it is stored; return None where there is none."""
        if isinstance(image, bytes):
            return hashlib.sha256(image).hexdigest()
        return None if image is None else self.file(image)

    def context(self, context: Context) -> list[Mapping[str, Any]]:
        """Return what each sample holds, in order; of a text that is read in part, that part."""
        samples = (neighbor.read for neighbor in context)
        return [{"id": sample.id, "text": sample.text, "image": self.picture(sample.image)} for sample in samples]


def _names(folder: Path) -> Iterator[str]:
    """Yield the paths of the files in a folder, with slashes, less what is hidden."""
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            yield inside.as_posix()
