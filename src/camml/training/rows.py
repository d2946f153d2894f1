"""The data of a run: read, checked against its neighbors, and what is bad about it found before training."""

from collections.abc import Callable
from pathlib import Path

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
) -> TrainingRows:
    """The rows of a run.

    Args:
      max_length: tokens of a row at most.
      seed: of the random shots.
      report: called with the reason for each sample that is skipped before the run.
      skipped: the same during the run, where rows are tokenised no earlier (--lazy_preprocess).

    Raises:
      SampleError: there is data that cannot be trained on.
      StoreError: the neighbors are of another dataset or store.
    """
    path = Path(arguments.data_path)
    images = Path(arguments.image_folder) if arguments.image_folder else None
    conversations = llava_json.read(
        path, images, on_bad=arguments.on_bad_sample, report=report, decode_images=arguments.check_images
    )
    context_of = _context_of(arguments, conversations)
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


def _context_of(arguments: DataArguments, conversations: list[Conversation]) -> Callable[[str], Context]:
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
    _check_images(table, conversations, arguments.icl_num)
    return table.context


def _check_images(table: NeighborTable, conversations: list[Conversation], shots: int) -> None:
    """That the images of all samples that may be used are there."""
    seen: set[str] = set()
    for conversation in conversations:
        for neighbor in table.context(conversation.id, shots):
            sample = neighbor.sample
            if sample.id not in seen and sample.image and not sample.image.is_file():
                raise SampleError(f"the image of sample {sample.id!r} of the datastore is gone: {sample.image}")
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
