"""Hashes of all that an answer depends on: models, pictures, samples."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camml.data.origins import file_hash
from camml.errors import ModelFolderError
from camml.json_values import digest
from camml.types import Context


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
        """Hash all files in a folder, their names and contents: weights, configuration, tokenizer.

        Model cards (`*.md`) and hidden files are left out: a better word on a model does not change its answers.

        Raises:
          ModelFolderError: no such folder.
        """
        if not folder.is_dir():
            raise ModelFolderError(f"no folder {folder}; give a model folder, or fetch a model with `camml fetch`")
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        files = [path for path in files if path.suffix != ".md"]
        return digest({str(path.relative_to(folder)): self.file(path) for path in files})

    def picture(self, image: Path | bytes | None) -> str | None:
        """Hash a picture as it is stored; return None where there is none."""
        if isinstance(image, bytes):
            return hashlib.sha256(image).hexdigest()
        return None if image is None else self.file(image)

    def context(self, context: Context) -> list[Mapping[str, Any]]:
        """Return what each sample holds, in order; of a text that is read in part, that part."""
        samples = (neighbor.read for neighbor in context)
        return [{"id": sample.id, "text": sample.text, "image": self.picture(sample.image)} for sample in samples]
