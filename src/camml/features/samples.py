"""Perceiver outputs of single samples, computed once for each sample and model.

Only the last step of a context, which compresses all its samples together, depends on the question.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camml.arrays import ArrayCache
from camml.durable import disk_errors, write_file
from camml.errors import DiskError
from camml.features.tower import ABOUT, Digests, TowerFeatures, fingerprint, settings_of, weights_hash
from camml.model import CamMLForConditionalGeneration, CamMLProcessor, LlavaPartsForConditionalGeneration
from camml.model.modeling import SAMPLE
from camml.types import Sample

FOLDER = "cache"
"""Where in a datastore it is."""

MAX_BYTES = 16 * 10**9
BATCH = 16  # samples
PER_SAMPLE_PARAMETERS = (
    "context_perceiver.image_in.",
    "context_perceiver.text_in.",
    "context_perceiver.vision_perceiver.",
    "context_perceiver.language_perceiver.",
    "context_perceiver.word_position",
)
"""The parts of a model that see one sample at a time, besides what sees images and the word embeddings."""

_logger = logging.getLogger("camml")


class SampleFeatures:
    """The first step of `embed_context`, from a folder: float16[Lv + Lt, P] a sample, image before text.

    Whether a sample was there or had to be computed makes no difference: both ways go through 16 bits.

    Args:
      folder: of the cache. What the tower of a model of parts gives is kept in it too, so that another model with the
        same tower has it.
      max_bytes: of the folder; see `ArrayCache`.
    """

    def __init__(
        self, folder: Path, model: CamMLForConditionalGeneration, processor: CamMLProcessor, max_bytes: int = MAX_BYTES
    ) -> None:
        self.model = model
        self.processor = processor
        self.images: TowerFeatures | None = None
        self.digests = Digests()
        state = model.state_dict()
        parts = {name: tensor for name, tensor in state.items() if name.startswith(PER_SAMPLE_PARAMETERS)}
        parts["words"] = model.get_input_embeddings().weight
        vlm = model.vlm
        if isinstance(vlm, LlavaPartsForConditionalGeneration):
            sees = fingerprint(vlm.vision_tower, vlm.config, processor)
            shape = vlm.config.patch_tokens, vlm.config.vision_config.hidden_size
            self.images = TowerFeatures(folder, sees, shape, max_bytes)
            self.digests = self.images.digests
            parts |= {name: tensor for name, tensor in state.items() if name.startswith("vlm.projector.")}
        else:
            language = {id(parameter) for parameter in model.language_part.parameters()}
            seeing = {n: p for n, p in vlm.named_parameters() if id(p) not in language}
            sees = {"weights": weights_hash(seeing), "image_processor": settings_of(processor.image_processor)}
        self.about: dict[str, Any] = {"tower": sees, "weights": weights_hash(parts)}
        if blank := model.config.blank_patches:
            self.about["blank_patches"] = blank
        name = hashlib.sha256(json.dumps(self.about, sort_keys=True).encode()).hexdigest()[:16]
        self.cache = ArrayCache(folder / "samples" / name, folder, max_bytes)

    def embed(self, contexts: Sequence[Sequence[Sample]]) -> Tensor:
        """Return the context tokens float[B', 2 M, D] of the B' contexts that have samples.

        Raises:
          ImageError: an image cannot be used.
        """
        rows = [[(self.key(sample), sample) for sample in context] for context in contexts if context]
        states = self._states({key: sample for row in rows for key, sample in row})
        lengths = {key: len(self.processor.sample_ids(sample.text)) for row in rows for key, sample in row}
        patches = max(1, *(len(states[key]) - lengths[key] for key in states))
        words = max(lengths.values())
        places = torch.zeros(len(rows), max(map(len, rows)), patches + words, self.model.config.perceiver_hidden_size)
        mask = torch.zeros(places.shape[:3], dtype=torch.bool)
        for number, row in enumerate(rows):
            for column, (key, _) in enumerate(row):
                states_here = torch.from_numpy(states[key].astype(np.float32))
                seen, end = len(states_here) - lengths[key], patches + lengths[key]
                places[number, column, :seen] = states_here[:seen]
                places[number, column, patches:end] = states_here[seen:]
                mask[number, column, :seen], mask[number, column, patches:end] = True, True
        places, mask = places.to(self.model.device, self.model.dtype), mask.to(self.model.device)
        seen_states, read_states = places[:, :, :patches], places[:, :, patches:]
        with torch.inference_mode():
            tokens: Tensor = self.model.context_perceiver(
                "compress", seen_states, mask[:, :, :patches], read_states, mask[:, :, patches:]
            )
        return tokens

    def fill(
        self, samples: Iterable[Sample], progress: Callable[[int], object] = lambda done: None, batch_size: int = BATCH
    ) -> int:
        """Compute and keep what is missing of `samples`, and return the number that was missing.

        Args:
          progress: called with how many samples are done.

        Raises:
          ImageError: an image cannot be used.
          DiskError: the disk is full or not writable.
        """
        remaining, done, computed = iter(samples), 0, 0
        while batch := list(islice(remaining, batch_size)):
            missing = {key: sample for sample in batch if (key := self.key(sample)) not in self.cache}
            for key, states in self._computed(missing):
                self._keep(key, states)
            done, computed = done + len(batch), computed + len(missing)
            progress(done)
        self.cache.close()
        return computed

    def key(self, sample: Sample) -> str:
        """Return what tells the sample from all others: the tokens of its text and the bytes of its image file.

        Raises:
          ImageError: the image cannot be read.
        """
        tokens = np.array(self.processor.sample_ids(sample.text), dtype=np.int64).tobytes()
        image = self.digests(sample.image) if sample.image else ""
        return hashlib.sha256(image.encode() + b"\n" + tokens).hexdigest()

    def _states(self, wanted: dict[str, Sample]) -> "dict[str, np.ndarray[Any, Any]]":
        """Return float16[Lv + Lt, P] of each sample by its key."""
        cached = {key: states for key in wanted if (states := self.cache.get(key)) is not None}
        missing = iter([(key, sample) for key, sample in wanted.items() if key not in cached])
        while batch := dict(islice(missing, BATCH)):
            for key, states in self._computed(batch):
                cached[key] = states
                try:
                    self._keep(key, states)
                except DiskError as error:  # an answer needs no cache
                    _logger.warning("%s: samples are not kept", error)
        return cached

    def _keep(self, key: str, states: "np.ndarray[Any, Any]") -> None:
        with disk_errors(self.cache.folder):
            if not (self.cache.folder / ABOUT).exists():
                self.cache.folder.mkdir(parents=True, exist_ok=True)
                write_file(self.cache.folder / ABOUT, json.dumps(self.about, indent=1).encode())
        self.cache.put(key, states)

    @torch.inference_mode()
    def _computed(self, samples: dict[str, Sample]) -> "Iterator[tuple[str, np.ndarray[Any, Any]]]":
        """Run the model on samples, in one batch."""
        if not samples:
            return
        device = self.model.device
        inputs = self.processor.sample_inputs([[sample] for sample in samples.values()], self._tower(samples))
        given = {name.removeprefix(SAMPLE): tensor.to(device) for name, tensor in inputs.items()}
        by_sample = ("input_ids", "attention_mask", "image_counts")
        given |= {name: given[name][:, 0] for name in by_sample if name in given}
        seen, mask, read = self.model.encode_samples(**given)
        lengths = inputs["sample_attention_mask"][:, 0].sum(dim=1).tolist()
        for number, key in enumerate(samples):
            own = seen[number][mask[number]], read[number, : lengths[number]]
            yield key, torch.cat(own).to("cpu", torch.float16).numpy()

    def _tower(self, samples: dict[str, Sample]) -> TowerFeatures | None:
        """Return the cache of the tower's features of samples, filled if need be; None where nothing can be cached."""
        if self.images is None:
            return None
        device, vlm = self.model.device, self.model.vlm
        files = [sample.image for sample in samples.values() if sample.image]
        try:
            wrong = self.images.compute(files, self.processor, lambda pixels: vlm.tower_features(pixels.to(device)))
        except DiskError as error:
            _logger.warning("%s: features of images are not kept", error)
            return None
        for problem in wrong.values():
            raise problem
        return self.images if all(file in self.images for file in files) else None


def folder_of(store: str | None) -> Path | None:
    """Return the cache of the datastore in folder `store`, where it has one."""
    folder = Path(store) / FOLDER if store else None
    return folder if folder and folder.is_dir() else None
