"""The data of a run: read, checked against its neighbors, and what is bad about it found before training."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from camml import layouts
from camml.data import llava_json, origins
from camml.data.examples import TrainingRows, check_masks
from camml.data.llava_json import Conversation
from camml.errors import InputError, SampleError, StoreError
from camml.model import CamMLProcessor
from camml.neighbors import NeighborTable
from camml.training.arguments import DataArguments
from camml.types import Context

Report = Callable[[InputError], None]


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
    """That the masks of the first few rows train just their answers.

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


def _context_of(arguments: DataArguments, conversations: list[Conversation]) -> Callable[..., Context]:
    """Where contexts come from: the table of neighbors, which must be of this data."""
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
      SampleError: one is not.
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
    """The conversations that can be tokenised within the length and masked."""
    kept: list[Conversation] = []
    problems: list[SampleError] = []
    for row, conversation in enumerate(rows.conversations):
        try:
            rows.build(0, row)
            kept.append(conversation)
        except SampleError as error:
            problems.append(error)
            if on_bad == "skip":
                report(error)
    if problems and on_bad == "stop":
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise SampleError(f"{problems[0]}{more}; or use --on_bad_sample skip")
    if not kept:
        raise SampleError(f"no sample can be trained on; {problems[0]}")
    return kept
