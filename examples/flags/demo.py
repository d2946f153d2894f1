"""Ask about flags drawn in a style the datastore does not hold, and see answer, evidence and truth.

The first run fetches weights and drawings and embeds the datastore; later ones find them in place.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import build
import questions
from questions import Judge, Question

from camml.errors import CaMMLError, OptionError, StoreError
from camml.types import Context, Query, Sample

if TYPE_CHECKING:
    from camml.assistant import Assistant, Collection
    from camml.datastore import Datastore

SHOTS = 3
"""Samples retrieved for each question; the model reads those that are near enough, as one context of fixed length."""
MODEL = build.ROOT / "models" / "camml-mini"
MAX_NEW_TOKENS = 24


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with what came out.

    Attributes:
      context: the samples that were read.
      retrieving, answering: seconds.
      unaided: what the same model says to the same question without any sample; `unaided_right`, whether that is right.
    """

    question: Question
    picture: Path
    context: Context
    answer: str
    right: bool
    retrieving: float
    answering: float
    unaided: str
    unaided_right: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; exit code 2 where something it needs is missing."""
    args = parser().parse_args(arguments)
    try:
        return run(args.data, args.out, args.questions)
    except CaMMLError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--questions", type=int, default=25, metavar="N", help="how many to ask (%(default)s)")
    options.add_argument("--data", type=Path, default=build.DEFAULT_FOLDER, metavar="DIR", help="knowledge base")
    options.add_argument("--out", type=Path, default=build.ROOT / "demo_output", metavar="DIR", help="for the page")
    return options


def run(data: Path, out: Path, count: int) -> int:
    """Prepare, ask, report."""
    if count < 1:
        raise OptionError(f"--questions is {count}; give 1 or more")
    started = time.perf_counter()
    with step("weights"):
        model = load_model()
    with step("flags"):
        known = build.build(data)
    with step("datastore"):
        collection = open_datastore(data, model)
    asked = questions.choose(known, count)
    unseen = sum(question.country.code in questions.UNSEEN for question in asked)
    print(
        f"\n{len(collection)} samples of {len(known)} countries, drawn in the styles {' and '.join(build.STORED)}; "
        f"{len(asked)} questions about pictures in the style {build.ASKED}, "
        f"{unseen} of them about countries that no training showed\n"
    )
    answers = list(ask(asked, Judge(known), data, collection))
    report(answers, out, time.perf_counter() - started)
    return 0


@contextmanager
def step(name: str) -> Iterator[None]:
    """Say what is being prepared and how long it took."""
    print(f"{name} ...", flush=True)
    started = time.perf_counter()
    yield
    print(f"{name} ready in {time.perf_counter() - started:.1f} s", flush=True)


def load_model() -> "Assistant":
    """Load the small CaMML model and its encoder; the weights they are made of are fetched if need be."""
    from transformers.utils import logging

    from camml import assistant, weights

    logging.disable_progress_bar()
    for name in weights.DEFAULTS:
        if not weights.place(name).is_dir():
            print(f"  fetching {name}", flush=True)
        weights.folder(name)
    model = assistant.load(MODEL, dtype="float32")
    _ = model.encoder, model.answerer  # loaded now, so that the first question is as quick as the others
    return model


def open_datastore(data: Path, model: "Assistant") -> "Collection":
    """Open the datastore of the knowledge base, built unless it is there and holds just these samples."""
    from tqdm import tqdm

    from camml import formats

    folder, wanted = data / "store", list(formats.read(data / "samples.json"))
    try:
        collection = model.open(folder)
        if content(collection.datastore) == content(wanted):
            return collection
        shutil.rmtree(folder)
    except StoreError:  # none yet, an unfinished one, or one that this encoder cannot use
        if (folder / "manifest.json").exists():
            shutil.rmtree(folder)
    with tqdm(total=len(wanted), desc="embedding flags", unit="sample", leave=False) as bar:
        return model.index(wanted, folder, batch_size=16, progress=advance(bar))


def advance(bar: Any) -> Callable[[int, int], None]:
    """A callback that moves a progress bar to where the work is."""

    def move(done: int, total: int) -> None:
        bar.update(done - bar.n)

    return move


def content(samples: "Datastore | Iterable[Sample]") -> set[tuple[str, str, str]]:
    """What makes two sets of samples the same."""
    return {(sample.id, sample.text, sample.image.name if sample.image else "") for sample in samples}


def ask(asked: Sequence[Question], judge: Judge, data: Path, collection: "Collection") -> Iterator[Answered]:
    """Answer the questions one by one, as they would come from a person, and print each."""
    from camml.answering import Decoding

    decoding = Decoding(max_new_tokens=MAX_NEW_TOKENS)
    queries = [Query(question.text, build.picture(data, build.ASKED, question.country.code)) for question in asked]
    unaided = collection.assistant.answerer.answer(queries, [()] * len(queries), decoding)
    for number, (question, query, guess) in enumerate(zip(asked, queries, unaided, strict=True), 1):
        started = time.perf_counter()
        contexts = collection.find([query], SHOTS)
        retrieved = time.perf_counter()
        [answer] = collection.assistant.answer(collection.ready([query], contexts), decoding)
        done = time.perf_counter()
        said, alone = first_line(answer.text), first_line(guess.text)
        answered = Answered(
            question=question,
            picture=Path(str(query.image)),
            context=answer.evidence,
            answer=said,
            right=judge.is_right(question, said),
            retrieving=retrieved - started,
            answering=done - retrieved,
            unaided=alone,
            unaided_right=judge.is_right(question, alone),
        )
        print(as_text(number, answered), flush=True)
        yield answered


def first_line(text: str) -> str:
    """Return the answer proper; what a small model adds below is talk."""
    return text.strip().partition("\n")[0].strip()


def as_text(number: int, answered: Answered) -> str:
    """A question and its answer for the terminal."""
    question = answered.question
    evidence = ", ".join(f"{neighbor.sample.id} {neighbor.score:.3f}" for neighbor in answered.context)
    lines = [
        f"{number:2}. {question.text}  [{answered.picture.parent.name}/{answered.picture.name}]",
        f"    answer    {answered.answer}",
        f"    without   {answered.unaided}",
        f"    truth     {question.true_text}  ->  {'right' if answered.right else 'WRONG'}, "
        f"without evidence {'right' if answered.unaided_right else 'wrong'}",
        f"    evidence  {evidence}",
        f"    seconds   {answered.retrieving + answered.answering:.1f} "
        f"(retrieving {answered.retrieving:.1f}, answering {answered.answering:.1f})",
    ]
    return "\n".join(lines) + "\n"


def report(answers: Sequence[Answered], out: Path, seconds: float) -> None:
    """Write the page and print the sums."""
    import page

    right, unaided = (sum(getattr(answer, name) for answer in answers) for name in ("right", "unaided_right"))
    written = page.write(answers, out)
    print(f"without the evidence the same model has {unaided} of {len(answers)} right")
    print(f"page: {written} and {written.with_name('contact_sheet.png').name} beside it; {seconds:.0f} s in all")
    print(f"{right} of {len(answers)} right")


if __name__ == "__main__":
    raise SystemExit(main())
