"""The data of a run: read, checked against its neighbors, and what is bad about it found before training."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from torch import distributed
from torch.utils.data import DataLoader, Dataset

from camml import layouts
from camml.data import llava_json, origins
from camml.data.examples import TrainingRows, check_masks
from camml.data.llava_json import Conversation
from camml.errors import CaMMLError, InputError, OptionError, SampleError, StoreError
from camml.model import CamMLForConditionalGeneration, CamMLProcessor, LlavaPartsForConditionalGeneration
from camml.neighbors import NeighborTable
from camml.training import processes
from camml.training.arguments import DataArguments, RunArguments
from camml.training.sharding import stage
from camml.types import Context

Report = Callable[[InputError], None]

Problems = dict[int, CaMMLError]
"""What is wrong with rows, by their numbers."""

MANY, AT_A_TIME, MOST_WORKERS = 2_000, 64, 16
"""From how many rows on other processes help to tokenise them, so many at a time, and how many do at most."""


def read(
    arguments: DataArguments,
    processor: CamMLProcessor,
    *,
    max_length: int,
    seed: int,
    report: Report,
    skipped: Report | None = None,
    loaded: "Loaded | None" = None,
) -> TrainingRows:
    """Return the rows of a run.

    Args:
      max_length: tokens of a row at most.
      seed: of the random shots.
      report: called with the reason for each sample that is skipped before the run.
      skipped: the same during the run, where rows are tokenised no earlier (--lazy_preprocess).
      loaded: what `load` gave, where it was called before.

    Raises:
      SampleError: there is data that cannot be trained on.
      StoreError: the neighbors are of another dataset or store.
    """
    conversations, context_of = loaded or load(arguments, report)
    rows = TrainingRows(
        conversations,
        context_of,
        processor,
        shots=arguments.icl_num,
        random_shots=arguments.random_shots_training,
        image_dropout=arguments.sample_image_dropout,
        seed=seed,
        max_length=max_length,
        skipped=(skipped or report) if arguments.on_bad_sample == "skip" else None,
    )
    if not arguments.lazy_preprocess:
        rows.conversations = _trainable(rows, arguments.on_bad_sample, report)
    check_first(rows)
    return rows


Loaded = tuple[list[Conversation], Callable[..., Context]]
"""The conversations of a run, and where the context of each comes from."""


def load(arguments: DataArguments, report: Report) -> Loaded:
    """Return the data of a run, after looking for all of its pictures; this needs no model.

    Raises:
      SampleError: there is data that cannot be trained on, or a picture is missing.
      StoreError: the neighbors are of another dataset or store.
    """
    path = Path(arguments.data_path)
    images = Path(arguments.image_folder) if arguments.image_folder else None
    conversations = llava_json.read(
        path, images, on_bad=arguments.on_bad_sample, report=report, decode_images=arguments.check_images
    )
    return conversations, _context_of(arguments, conversations)


def check_first(rows: TrainingRows, count: int = 8) -> None:
    """Raise unless the masks of the first few rows train just their answers.

    Raises:
      SampleError: one does not; the message shows the text.
    """
    for row in range(min(count, len(rows))):
        try:
            example = rows.build(0, row)
        except SampleError:
            if rows.skipped is None:
                raise
            continue  # it is left out, and named, when its turn comes
        check_masks(example, rows.conversations[row], rows.processor)


def check_steps(rows: TrainingRows, model: CamMLForConditionalGeneration, run: RunArguments) -> None:
    """Raise unless all processes can take the steps of a run.

    Raises:
      OptionError: as `check_full` and `check_alike`.
    """
    check_full(rows, run, run.train_batch_size * run.world_size)
    check_alike(rows, model, run)


def check_full(rows: TrainingRows, run: RunArguments, batch: int) -> None:
    """Raise if there are fewer rows than a batch has, of which a run takes full ones alone.

    Args:
      batch: rows of a batch of all processes.

    Raises:
      OptionError: no batch is full.
    """
    if run.dataloader_drop_last and len(rows) < batch:
        raise OptionError(
            f"{len(rows)} rows do not fill a batch of {batch}, and --dataloader_drop_last True leaves out what is not "
            "full; leave the flag out, or give a smaller --per_device_train_batch_size"
        )


def check_alike(rows: TrainingRows, model: CamMLForConditionalGeneration, run: RunArguments) -> None:
    """Raise unless all processes of a sharded vision-language model use the same of its modules in every step.

    Where each process has a part of each weight (ZeRO-3, FSDP), they wait for each other at every module. A model of
    parts looks at a blank image where there is none; other models cannot be made to.

    Raises:
      OptionError: some rows have images, or samples with images, and others none.
    """
    apart = stage(run.deepspeed) == 3 or bool(run.fsdp)
    if isinstance(model.vlm, LlavaPartsForConditionalGeneration) or not apart or run.world_size == 1:
        return
    kinds = Counter(_looked_at(rows, conversation) for conversation in rows.conversations)
    [(usual, count), *_] = kinds.most_common()
    if len(kinds) > 1 or usual is None or (usual[1] and rows.image_dropout):
        others = kinds.total() - count * (usual is not None and not rows.image_dropout)
        raise OptionError(
            f"with ZeRO-3 or FSDP all rows for a {model.config.vlm_config.model_type!r} model must be alike: all with "
            f"an image or none, all with samples that have images or none; {others} of {kinds.total()} are not. "
            "Leave these out, or use --deepspeed zero2, with --tune lora where memory is short"
        )


def _looked_at(rows: TrainingRows, conversation: Conversation) -> tuple[bool, bool, bool] | None:
    """Return whether a row has an image, its samples have, and there are samples; None where draws change that."""
    context = rows.context_of(conversation.id)[: rows.shots] if rows.shots else ()
    images = [neighbor.sample.image is not None for neighbor in context]
    if rows.random_shots and any(images) and not images[0]:
        return None
    return conversation.image is not None, any(images), bool(images)


def _context_of(arguments: DataArguments, conversations: list[Conversation]) -> Callable[..., Context]:
    """Return where contexts come from: the table of neighbors, which must be of this data."""
    if not arguments.icl_num or not arguments.neighbors:
        return lambda _: ()
    table = NeighborTable.open(
        arguments.neighbors,
        dataset_hash=origins.file_hash(Path(arguments.data_path)),
        store_hash=origins.store_state(arguments.store)[0] if arguments.store else None,
    )
    lost = [conversation.id for conversation in conversations if conversation.id not in table]
    if lost:
        raise StoreError(
            f"the neighbors in {arguments.neighbors} have no sample {lost[0]!r} ({len(lost)} are missing); "
            "run `camml neighbors` again"
        )
    if table.origin.k < arguments.icl_num:
        raise StoreError(
            f"the neighbors in {arguments.neighbors} are at most {table.origin.k} a sample, --icl_num asks for "
            f"{arguments.icl_num}; run `camml neighbors` with a larger --k"
        )
    context_of = _moved(table, arguments.store_images) if arguments.store_images else table.context
    _check_images(context_of, conversations, arguments.icl_num)
    return context_of


def _moved(table: NeighborTable, images: str) -> Callable[..., Context]:
    """Return what gives contexts whose pictures are found in another folder than the table says.

    Raises:
      StoreError: none of those that are looked for is there.
    """
    names = [str(image) for image in table.images()]
    layout = layouts.choose(table.path, names, images)
    if names and not layout.count(layouts.spread(names)):
        raise StoreError(
            f"no picture of the neighbors in {table.path} is in --store_images {images}, such as {names[0]}"
        )

    def context(sample_id: str, most: int | None = None) -> Context:
        return tuple(
            replace(near, sample=replace(near.sample, image=layout.place(str(near.sample.image))))
            if near.sample.image
            else near
            for near in table.context(sample_id, most)
        )

    return context


def _check_images(context_of: Callable[..., Context], conversations: list[Conversation], shots: int) -> None:
    """Raise if the image of a sample that may be used is not there.

    Raises:
      SampleError: an image is missing.
    """
    seen: set[str] = set()
    for conversation in conversations:
        for neighbor in context_of(conversation.id, shots):
            sample = neighbor.sample
            if sample.id not in seen and sample.image and not sample.image.is_file():
                raise SampleError(
                    f"the image of sample {sample.id!r} of the datastore is gone: {sample.image}; bring it back, or "
                    "say where the datastore's images are now with --store_images DIR"
                )
            seen.add(sample.id)


def _trainable(rows: TrainingRows, on_bad: str, report: Report) -> list[Conversation]:
    """Return the conversations that can be tokenised within the length and masked."""
    wrong: dict[int, SampleError] = {}
    for row, error in _of_all_processes(_problems(rows)).items():
        if not isinstance(error, SampleError):  # about the settings, so about every row
            raise error
        wrong[row] = error
    first = next(iter(wrong.values()), None)
    if first and on_bad == "stop":
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise SampleError(f"{first}{more}; or use --on_bad_sample skip")
    for error in wrong.values():
        report(error)
    usable = [conversation for row, conversation in enumerate(rows.conversations) if row not in wrong]
    if not usable:
        raise SampleError(f"no sample can be trained on; {first}")
    return usable


def _problems(rows: TrainingRows) -> Problems:
    """Return what is wrong with the rows of this process's share; the processes of a run share them.

    What is wrong is returned, not raised, so that no process waits for one that has stopped.
    """
    share, shares = (distributed.get_rank(), distributed.get_world_size()) if processes.joined() else (0, 1)
    own = range(share, len(rows), shares)
    checks = DataLoader(_Checks(rows, own), AT_A_TIME, num_workers=_workers(len(own)), collate_fn=list)
    return {row: error for batch in checks for row, error in batch if error is not None}


def _workers(rows: int) -> int:
    """Return how many processes help to tokenise so many rows: as many as there are cores for this one."""
    if rows < MANY or not hasattr(os, "sched_getaffinity"):
        return 0
    cores = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(cores, MOST_WORKERS) if cores > 1 else 0


def _of_all_processes(problems: Problems) -> Problems:
    """Return what is wrong with the rows of all processes, in the order of rows."""
    every = [problems]
    if processes.joined():
        every = [{}] * distributed.get_world_size()
        distributed.all_gather_object(every, problems)
    together = {row: error for part in every for row, error in part.items()}
    return {row: together[row] for row in sorted(together)}


class _Checks(Dataset[tuple[int, CaMMLError | None]]):
    """Rows as what is wrong with them."""

    def __init__(self, rows: TrainingRows, own: Sequence[int]) -> None:
        self.rows = rows
        self.own = own

    def __len__(self) -> int:
        return len(self.own)

    def __getitem__(self, place: int) -> tuple[int, CaMMLError | None]:
        row = self.own[place]
        try:
            self.rows.build(0, row)
        except CaMMLError as error:
            return row, error
        return row, None
