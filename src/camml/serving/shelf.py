"""A datastore that is open for many: searched, looked through, added to, removed from."""

import hashlib
import io
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from camml.assistant.threshold import Threshold
from camml.datastore import Datastore, open_store
from camml.datastore.uploads import UPLOADS
from camml.durable import disk_errors, sync_folder, write_file
from camml.encoders import Encoder
from camml.errors import ImageError, OptionError, SampleError, StoreCorruptedError
from camml.features.passages import Budget, PassageChooser
from camml.features.reranking import Reranker, nearest
from camml.images import open_image
from camml.ranking import check_weights
from camml.retriever import Retriever
from camml.serving import scratch
from camml.serving.encoding import SharedEncoder
from camml.serving.pictures import suffix
from camml.serving.problems import ApiError
from camml.serving.searching import Search
from camml.types import Context, Query, Sample

RELOAD_SECONDS = 1.0
"""How old the view of a datastore may be that other processes write to."""
THUMBNAILS = 1024
"""How many are kept in memory."""


class ServedDatastore:
    """A datastore under the name that clients use. Its methods block; they may be called from several threads.

    Attributes:
      can_write: samples can be added and removed.
      threshold: how near samples must be to be answered from.
      usual: how samples are found where a request does not say.
      reranker: puts what was found into a better order; None where there is none.
    """

    def __init__(self, name: str, datastore: Datastore, encoder: Encoder, read_only: bool = False) -> None:
        self.name = name
        self.datastore = datastore
        self.encoder: Encoder = SharedEncoder(encoder)
        datastore.encoder = self.encoder  # samples that are added are embedded with its locks, too
        self.can_write = not read_only and datastore.path is not None
        self.threshold = Threshold(None, None, "refuse")
        self.usual = Search("auto")
        self.reranker: Reranker | None = None
        self._writing = Lock()
        self._looked = time.monotonic()
        self._chooser = PassageChooser.beside(None if datastore.path is None else str(datastore.path), self.encoder)
        self._thumbnail = lru_cache(THUMBNAILS)(_thumbnail)

    @classmethod
    def open(
        cls, name: str, place: str, read_only: bool = False, images: str | None = None, encoder: str | None = None
    ) -> "ServedDatastore":
        """Return the datastore at `place`, a folder or `INDEX_FILE:DATA_JSON`, whose pictures are in `images`.

        Raises:
          StoreError: it cannot be opened.
        """
        return cls(name, *open_store(place, encoder, images=images), read_only)

    def refresh(self) -> None:
        """See what other processes have changed, looking once a second at most."""
        if time.monotonic() - self._looked > RELOAD_SECONDS and self._writing.acquire(blocking=False):
            try:
                self.datastore.reload()
                self._calibrate()
                self._looked = time.monotonic()  # not where that fails: so that it does until it can be read
            finally:
                self._writing.release()

    def _calibrate(self) -> None:
        """Go by the calibration that is there now."""
        with suppress(StoreCorruptedError):  # the one before holds
            self.threshold = Threshold.of(
                self.datastore, self.threshold.min_score, self.threshold.fallback, self.threshold.margin
            )

    def search(self, query: Query, k: int, how: Search | None = None) -> Context:
        """Return the k samples nearest to a query; none where the datastore is empty.

        Raises:
          OptionError: no such mode, the query lacks what it searches by, or there is no cross-encoder.
        """
        self.refresh()
        how, usual = how or self.usual, self.usual
        self.check(how)
        reranks = usual.rerank if how.rerank is None else how.rerank
        weights = usual.weights if how.weights is None else how.weights
        retriever = Retriever(self.datastore, self.encoder, how.mode or usual.mode or "auto", weights=weights)
        if not len(self.datastore):
            return ()
        reranker = self.reranker if reranks else None
        [context] = nearest(retriever, reranker, [query], min(k, len(self.datastore)), how.where or None)
        return context

    def check(self, how: Search) -> None:
        """Raise an OptionError for what can never be done, whatever the datastore holds; costs nothing."""
        check_weights(how.weights)
        if self.reranker is None and (self.usual.rerank if how.rerank is None else how.rerank):
            raise OptionError("this server has no cross-encoder to rerank with; start it with --rerank NAME")

    def read(self, question: str, context: Context, budget: Budget) -> Context:
        """Return the samples with the passages that the question asks for, as many as there is room for."""
        [chosen] = self._chooser.choose([Query(question)], [context], budget)
        return chosen

    def modes(self) -> list[str]:
        """Return the modes of retrieval that work."""
        return Retriever(self.datastore, self.encoder).modes()

    def page(self, offset: int, limit: int) -> list[Sample]:
        """Return samples in the order they were added."""
        self.refresh()
        return self.datastore.page(offset, limit)

    def samples(self, ids: Sequence[str]) -> list[Sample]:
        """Return the samples of those ids.

        Raises:
          ApiError: one of them is not there.
        """
        self.refresh()
        known = {name: sample for name in ids if (sample := self.datastore.get(name)) is not None}
        if unknown := [name for name in ids if name not in known]:
            raise ApiError(404, f"no sample {unknown[0]!r} in the datastore {self.name!r}", "sample_not_found", "id")
        return [known[name] for name in ids]

    def thumbnail(self, sample_id: str, side: int) -> bytes:
        """Return the picture of a sample as a JPEG of at most `side` pixels.

        Raises:
          ApiError: there is no such sample, or it has no picture that can be shown.
        """
        [sample] = self.samples([sample_id])
        try:
            if sample.image is None:
                raise ImageError(f"the sample {sample_id!r} has no picture")
            return self._thumbnail(sample.image, sample.image.stat().st_mtime_ns, side)
        except (ImageError, OSError) as error:
            reason = str(error) if sample.image is None else f"the picture of the sample {sample_id!r} cannot be read"
            raise ApiError(404, reason, "picture_not_found", "id") from None

    def thumbnail_counts(self) -> tuple[int, int]:
        """Return the hits and misses of the cache of thumbnails."""
        info = self._thumbnail.cache_info()
        return info.hits, info.misses

    def add(
        self,
        text: str,
        picture: bytes | None = None,
        sample_id: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Sample:
        """Add one sample, which the next question can find.

        Args:
          picture: the bytes of an image file that can be decoded.
          sample_id: None for one that follows from the content.

        Raises:
          ApiError: the datastore cannot be written, or has a sample of that id.
          SampleError: there is nothing in the sample.
        """
        self._check_writable()
        if not text.strip() and picture is None:
            raise SampleError("a sample needs a text or a picture")
        name = sample_id or f"upload-{hashlib.sha256(text.encode() + b'|' + (picture or b'')).hexdigest()[:16]}"
        with self._writing:
            self.datastore.reload()
            if name in self.datastore:
                raise ApiError(409, f"there is a sample {name!r} in {self.name!r} already", "sample_exists", "id")
            with scratch.folder() as folder:
                copied = self.datastore.manifest.copies
                image = None if picture is None else self._keep(picture, name, Path(folder) if copied else None)
                try:
                    self.datastore.add([Sample(name, text, image, dict(meta or {}))])
                except BaseException:
                    if image and name not in self.datastore:
                        image.unlink(missing_ok=True)
                    raise
            return self.datastore[name]  # before another thread reloads

    def remove(self, ids: Sequence[str]) -> int:
        """Remove samples, all or none, and the pictures that were uploaded for them; return the number of samples.

        Raises:
          ApiError: the datastore cannot be written, or one of them is not there.
        """
        self._check_writable()
        with self._writing:
            samples = self.samples(list(dict.fromkeys(ids)))
            return self.datastore.remove([sample.id for sample in samples])

    def _uploads(self) -> Path:
        assert self.datastore.path is not None
        return Path(os.path.realpath(self.datastore.path), UPLOADS)  # as the paths of samples are

    def _keep(self, picture: bytes, name: str, folder: Path | None) -> Path:
        """Return the picture as a file of its own, named after sample and content."""
        where = folder or self._uploads()
        with disk_errors(where):
            where.mkdir(exist_ok=True)
        parts = (hashlib.sha256(part).hexdigest()[:16] for part in (name.encode(), picture))
        file = where / ("-".join(parts) + suffix(picture))
        write_file(file, picture)
        sync_folder(where.parent)
        return file

    def _check_writable(self) -> None:
        if not self.can_write:
            raise ApiError(403, f"the datastore {self.name!r} can only be read here", "read_only", "store")


def _thumbnail(path: Path, changed: int, side: int) -> bytes:
    """Return a JPEG; `changed` makes a new picture under the old name another one."""
    stream = io.BytesIO()
    open_image(path, max_side=side).save(stream, "JPEG", quality=85)
    return stream.getvalue()
