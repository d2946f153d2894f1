"""The frozen tower's features of all images of a run, computed before its first step."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import AutoModel, PreTrainedModel

from camml import weights
from camml.data.examples import TrainingRows
from camml.errors import ImageError, InputError, OptionError, SampleError
from camml.features.tower import TowerFeatures, fingerprint
from camml.model import CamMLForConditionalGeneration, LlavaPartsConfig, LlavaPartsForConditionalGeneration, official
from camml.model.folder import load_part, read_tensors
from camml.model.parts import load_tower
from camml.progress import progress_bar
from camml.training import building
from camml.training.arguments import RunArguments, Settings
from camml.training.processes import wait_for_all

Report = Callable[[InputError], None]
BATCH = 32  # images; towers are small


def prepare(
    settings: Settings, model: CamMLForConditionalGeneration, rows: TrainingRows, report: Report
) -> TowerFeatures | None:
    """Return the features of all images that `rows` may use; None where the run keeps none.

    Rows whose image cannot be used are left out, or stop the run, as --on_bad_sample says.

    Raises:
      SampleError: an image cannot be used.
      OptionError: they do not fit into --cache_gb or on the disk.
    """
    data, run = settings.data, settings.run
    if data.feature_cache is None:
        return None
    seeing = model.vlm
    if not isinstance(seeing, LlavaPartsForConditionalGeneration):
        raise OptionError(
            f"--feature_cache keeps the features of a --vision_tower, which a {seeing.config.model_type!r} model has "
            "not; leave it out"
        )
    images, config = images_of(rows), seeing.config
    with _tower(settings, seeing) as tower:
        about = fingerprint(tower, config, rows.processor)
        shape = config.patch_tokens, config.vision_config.hidden_size
        features = TowerFeatures(Path(data.feature_cache), about, shape, round(data.cache_gb * 1e9))
        _check_room(features, images, data.cache_gb)
        wrong: dict[Path, ImageError] = {}
        for share, shares in _rounds(run):
            with progress_bar("tower features", "images", show=not run.process_index) as progress:
                wrong = features.compute(
                    images[share::shares],
                    rows.processor,
                    lambda pixels: seeing.tower_features(pixels.to(run.device)),
                    batch_size=BATCH,
                    workers=run.dataloader_num_workers,
                    progress=progress,
                )
            wait_for_all()
            features.cache.refresh()
    _leave_out(rows, wrong, data.on_bad_sample, report)
    lost = [image for image in images_of(rows) if image not in features]
    if lost:
        raise OptionError(
            f"{data.feature_cache} does not keep all features of this run ({len(lost)} of {len(images)} images are "
            f"gone): raise --cache_gb {data.cache_gb:g}, or give another folder"
        )
    return features


def images_of(rows: TrainingRows) -> list[Path]:
    """Return all images of the rows and of the samples they may get, each once, in an order that is always the same."""
    pictures: dict[Path, None] = {}
    for conversation in rows.conversations:
        if conversation.image:
            pictures[conversation.image] = None
        context = rows.context_of(conversation.id)[: rows.shots] if rows.shots else ()
        pictures |= dict.fromkeys(neighbor.sample.image for neighbor in context if neighbor.sample.image)
    return list(pictures)


def _check_room(features: TowerFeatures, images: list[Path], most: float) -> None:
    """Raise an OptionError if the features of so many images fit neither the bound nor the disk."""
    each = features.shape[0] * features.shape[1] * 2
    distinct = len(set(images))
    if distinct * each > most * 1e9 * 7 / 8:  # one shard is being written, and what others left is removed by shards
        raise OptionError(
            f"the features of {distinct} images take {distinct * each / 1e9:.1f} GB, too much for --cache_gb "
            f"{most:g}: raise it to {distinct * each / 1e9 * 1.2 + 0.1:.1f}, or lower --image_size"
        )
    place = features.cache.root
    while not place.exists():
        place = place.parent
    needed = distinct * each - features.cache.size()
    free = shutil.disk_usage(place).free
    if needed > free:
        raise OptionError(
            f"the features of {distinct} images take {distinct * each / 1e9:.1f} GB, and {place} has "
            f"{free / 1e9:.1f} GB free; give another --feature_cache, or lower --image_size"
        )


def _rounds(run: RunArguments) -> list[tuple[int, int]]:
    """Return for each round which share of the images this process computes, counted from 0, and of how many shares.

    In the first all processes share the images. Where machines have disks of their own, the second fills each; and the
    last shows every process the images that cannot be used.
    """
    machine = run.local_process_index, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    _ = run.device  # joins the other processes
    return list(dict.fromkeys([(run.process_index, run.world_size), machine, (0, 1)]))


@contextmanager
def _tower(settings: Settings, seeing: LlavaPartsForConditionalGeneration) -> Iterator[PreTrainedModel]:
    """Let the model have its tower in one piece on the device of the run."""
    run = settings.run
    own = seeing.vision_tower
    whole = own
    if any(hasattr(parameter, "ds_id") for parameter in own.parameters()):  # ZeRO-3 has taken it apart
        whole = _whole_tower(settings, seeing.config)
    device = whole.device
    training = own.training
    try:
        seeing.vision_tower = whole.to(run.device).eval()
        yield whole
    finally:
        seeing.vision_tower = own
        whole.to(device).train(training)


def _whole_tower(settings: Settings, config: LlavaPartsConfig) -> PreTrainedModel:
    """Return the tower that a run starts with, though DeepSpeed takes models apart as they are loaded."""
    from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config

    (_, name), *tower = building.base_of(settings.model).items()
    dtype, prefix = building.base_dtype(settings.model, settings.run), "vlm.vision_tower."
    unset_hf_deepspeed_config()
    try:
        if tower:
            return load_tower(weights.folder(tower[0][1]), config.vision_config, dtype)
        folder = weights.folder(name)
        every = official.read_ours(folder).items() if official.is_official(folder) else read_tensors(folder)
        tensors = {name.removeprefix(prefix): tensor for name, tensor in every if name.startswith(prefix)}
        whole = AutoModel.from_config(config.vision_config)
        load_part(whole, ("",), tensors, folder)
        loaded: PreTrainedModel = whole.to(dtype)
        return loaded
    finally:
        set_hf_deepspeed_config(settings.run.hf_deepspeed_config)


def _leave_out(rows: TrainingRows, wrong: dict[Path, ImageError], on_bad: str, report: Report) -> None:
    """Take the rows with images that cannot be used from `rows`.

    Raises:
      SampleError: there are some, and they are to stop the run, or one is of the datastore.
    """
    bad = {row.id: wrong[row.image] for row in rows.conversations if row.image in wrong}
    if bad and on_bad == "stop":
        name, error = next(iter(bad.items()))
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise SampleError(f"sample {name!r}: {error}{more}; mend it, or leave it out with --on_bad_sample skip")
    for name, error in bad.items():
        report(SampleError(f"sample {name!r}: {error}"))
    rows.conversations = [row for row in rows.conversations if row.id not in bad]
    still = [image for image in images_of(rows) if image in wrong] if wrong else []
    if still:
        raise SampleError(f"an image of the datastore cannot be used: {wrong[still[0]]}; mend it, or `camml neighbors`")
    if not rows.conversations:
        raise SampleError("no sample can be trained on: the images of all of them cannot be used")
