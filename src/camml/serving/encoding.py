"""One encoder for many questions: what several threads ask for is computed together, and kept by its content."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from itertools import islice
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np
from PIL import Image

from camml.encoders import Encoder, Patches, Vectors, patch_encoder
from camml.errors import InputError
from camml.tokens import REMEDY

TOGETHER = 16
"""Texts or pictures that go through an encoder at a time."""
MOST_CACHED, MOST_COMPARED = 4096, 1024
"""Vectors of texts or pictures, and patches of pictures, that are kept in memory."""

Item = TypeVar("Item")


class SharedEncoder:
    """An `Encoder` that is asked by several threads; it has whatever else the encoder within has."""

    def __init__(self, encoder: Encoder) -> None:
        self.name, self.revision = encoder.name, encoder.revision
        self.image_dim, self.text_dim, self.joint = encoder.image_dim, encoder.text_dim, encoder.joint
        self._encoder = encoder
        self._texts: BatchedCache[str] = BatchedCache(encoder.embed_texts, _name_of_text)
        self._images: BatchedCache[Image.Image] = BatchedCache(encoder.embed_images, _name_of_image)
        if compares := patch_encoder(encoder):
            self._compared: BatchedCache[Image.Image] = BatchedCache(
                lambda images: list(zip(*compares.embed_with_patches(images), strict=True)),
                _name_of_image,
                MOST_COMPARED,
            )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`."""
        return np.stack(self._texts.embed(texts)) if texts else self._encoder.embed_texts(texts)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Return how many tokens of texts are read; 0 where the encoder does not say."""
        count = getattr(self._encoder, "count_tokens", None)
        with self._texts.working:  # a tokenizer is not to be used by two threads
            return int(count(texts)) if texts and count is not None else 0

    def text_of(self, tokens: Sequence[int]) -> str:
        """Return the text that tokens stand for.

        Raises:
          InputError: they are none of this encoder's, or it has none.
        """
        read = getattr(self._encoder, "text_of", None)
        if read is None:
            raise InputError(f"the encoder {self.name!r} takes no tokens; {REMEDY}")
        with self._texts.working:
            return str(read(tokens))

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        """See `Encoder`."""
        return np.stack(self._images.embed(images)) if images else self._encoder.embed_images(images)

    def embed_with_patches(self, images: Sequence[Image.Image]) -> tuple[Vectors, list[Patches]]:
        """See `PatchEncoder`."""
        if not images:
            return self._encoder.embed_images(images), []
        vectors, patches = zip(*self._compared.embed(images), strict=True)
        return np.stack(vectors), list(patches)


class BatchedCache(Generic[Item]):
    """Vectors of items by their names; one thread computes for all that wait, the others find theirs done.

    Attributes:
      working: held while the encoder is at work.
    """

    def __init__(
        self, embed: Callable[[Sequence[Item]], Iterable[Any]], name_of: Callable[[Item], str], most: int = MOST_CACHED
    ) -> None:
        self._embed = embed
        self._name_of = name_of
        self._most = most
        self._cache: OrderedDict[str, Any] = OrderedDict()
        self._waiting: dict[str, tuple[Item, Future[Any]]] = {}
        self._state, self.working = Lock(), Lock()

    def embed(self, items: Sequence[Item]) -> list[Any]:
        """Return what the encoder gives for each item.

        Raises:
          Exception: what the encoder raises for one of them.
        """
        names = [self._name_of(item) for item in items]
        with self._state:
            futures = {name: self._future(name, item) for name, item in zip(names, items, strict=True)}
        if any(not future.done() for future in futures.values()):
            with self.working:
                while any(not future.done() for future in futures.values()):
                    self._compute()
        return [futures[name].result() for name in names]

    def _future(self, name: str, item: Item) -> "Future[Any]":
        """Return where the vector of an item is, or will be."""
        if name in self._cache:
            self._cache.move_to_end(name)
            done: Future[Any] = Future()
            done.set_result(self._cache[name])
            return done
        if name not in self._waiting:
            self._waiting[name] = item, Future()
        return self._waiting[name][1]

    def _compute(self) -> None:
        """Compute the vectors of those that have waited for longest."""
        with self._state:
            batch = dict(islice(self._waiting.items(), TOGETHER))
        try:
            vectors = list(self._embed([item for item, _ in batch.values()]))
        except Exception as error:
            # one of them cannot be embedded, which harms no other
            vectors = [self._alone(item) for item, _ in batch.values()] if len(batch) > 1 else [error]
        with self._state:
            for (name, (_, future)), vector in zip(batch.items(), vectors, strict=True):
                del self._waiting[name]
                if isinstance(vector, Exception):
                    future.set_exception(vector)
                    continue
                self._cache[name] = vector
                future.set_result(vector)
            while len(self._cache) > self._most:
                self._cache.popitem(last=False)

    def _alone(self, item: Item) -> Any:
        try:
            return next(iter(self._embed([item])))
        except Exception as error:
            return error


def _name_of_text(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _name_of_image(image: Image.Image) -> str:
    about = f"{image.mode} {image.size}".encode()
    return hashlib.sha256(about + image.tobytes()).hexdigest()
