"""Tasks and kinds of context to runs: answered, scored and written down, each in a folder of its own."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Any

from camml.answering import Decoding
from camml.errors import ImageError, OptionError, SampleError
from camml.evaluation import task as tasks
from camml.evaluation.answers import answer_record
from camml.evaluation.cache import Cache, Memory
from camml.evaluation.code import mixture
from camml.evaluation.contexts import Variant
from camml.evaluation.draw import drawn
from camml.evaluation.evidence import Evidence, unusual
from camml.evaluation.files import listed, write_json
from camml.evaluation.fingerprints import Fingerprints
from camml.evaluation.folder import Record, RunFolder, portions
from camml.evaluation.identity import identity
from camml.evaluation.measures import measures
from camml.evaluation.metrics.mmvet import read_grades
from camml.evaluation.models import Model, model_name
from camml.evaluation.predict import Predictor, has_answer
from camml.evaluation.retrieval import retriever_of
from camml.evaluation.risk import risk_coverage
from camml.evaluation.score import Score, measured_score, unanswered_note
from camml.evaluation.shares import Share
from camml.evaluation.task import Item, Settings, Task

Progress = Callable[[str, int, int], None]
"""Called with the name of a run, its questions answered so far, and all of them."""


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of a run.

    Attributes:
      data: the folder of all tasks' data.    out: where the runs go, as `<task>/<context>-<shots>/`.
      model, use, prompt_style, device, dtype, base_url: as of `Model`.
      store: a datastore, or INDEX_FILE:DATA_JSON; None for none.
      encoder, encoder_options: what made its vectors, where it does not say.
      store_images: the folder of its pictures, where it does not say.
      mode: of the retrieval; None for auto, or text-image, as published, over an index of pictures alone.
      retrieved: how many samples are retrieved, of which the first are used.
      keep_duplicates: samples that are the question itself, or nearly, may be retrieved as others are.
      max_new_tokens: instead of the task's own.    temperature, top_p, seed: of the decoding; 0 is greedy.
      passages: how much of long texts is read, see `camml.answering.budget_of`; None for the model's.
      margin: see `camml.evidence.near`; None for the model's, infinity for none.
      grounded: answers are held to words of their samples; None as the model has it.
      limit: ask only so many questions of each task, the first ones unless `spread`.
      spread: take these from all clusters (pictures, classes) alike, instead of the first.
      predict_only: leave the scoring for later.
      cache: where answers are remembered; None for nowhere.
    """

    data: Path
    out: Path
    model: str
    use: str | None = None
    prompt_style: str | None = None
    device: str | None = None
    dtype: str | None = None
    base_url: str | None = None
    store: str | None = None
    encoder: str | None = None
    encoder_options: dict[str, Any] | None = None
    store_images: str | None = None
    mode: str | None = None
    retrieved: int = 4
    keep_duplicates: bool = False
    passages: str | None = None
    margin: float | None = None
    batch_size: int = 8
    limit: int | None = None
    spread: bool = False
    max_new_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    grounded: bool | None = None
    predict_only: bool = False
    resamples: int = 1000
    settings: Settings = field(default_factory=Settings)
    cache: Path | None = None

    def __post_init__(self) -> None:
        for name, flag in (("retrieved", "--retrieve"), ("batch_size", "--batch-size"), ("limit", "--limit")):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"{flag} is {value}; give 1 or more")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run that is done.

    Attributes:
      score: None where there is none, for the reason in `note`.
      submission: the official submission, where the task has one.
      measures: tokens, seconds and hits, see `camml.evaluation.measures`.
      notes: what a reader of the answers must know.
    """

    task: str
    variant: Variant
    folder: Path
    answers: int
    score: Score | None
    note: str = ""
    submission: Path | None = None
    measures: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


def run(
    names: Sequence[str], variants: Sequence[Variant], options: Options, progress: Progress = lambda *_: None
) -> list[Outcome]:
    """Run all tasks with all kinds of context, resuming what was begun. Of several processes the first reports.

    Raises:
      SampleError: data that is missing, all of it named before any model is loaded.
      OptionError: settings that do not fit, or a folder that holds another run.
    """
    chosen = {name: tasks.find(name) for name in names}
    for variant in variants:
        for name, task in chosen.items():
            variant.check(name, task.knowledge)
    _check_data(list(chosen.values()), variants, options)
    asked = {name: _items(task, options) for name, task in chosen.items()}
    items = {name: its for name, (its, _) in asked.items()}
    share, fingerprints = Share.of_environment(), Fingerprints()
    model = None
    if any(variant.needs_model for variant in variants):
        model = Model(options.model, options.use, options.prompt_style, options.device, options.dtype,
                      fingerprints, share, options.base_url)  # fmt: skip
        model.keep_samples(options.store)
    evidence = _evidence(variants, options, fingerprints, model)
    margin = _margin(options, model)
    passages = options.passages or (model.passages if model else "auto")
    outcomes = []
    for name, task in chosen.items():
        for variant in variants:
            predictor = Predictor(
                task, variant, _decoding(task, options), model if variant.needs_model else None,
                evidence if variant.needs_store else None, Cache(options.cache), fingerprints, options.seed,
                options.keep_duplicates or task.apart, passages, margin,
            )  # fmt: skip
            folder = RunFolder(options.out / name / variant.name)
            settings: dict[str, Any] = {"limit": options.limit, "batch_size": options.batch_size, "seed": options.seed}
            settings |= {"passages": passages, "margin": margin}
            settings |= {"spread": True} if options.spread else {}
            folder.claim(identity(name, items[name], predictor, options.store, settings))
            records = _predict(predictor, folder, items[name], options, share, progress)
            if share.leads:
                outcomes.append(_conclude(name, predictor, *asked[name], records, folder, options))
    return outcomes


def _check_data(chosen: Sequence[Task], variants: Sequence[Variant], options: Options) -> None:
    """Raise one error that names every missing file of every task, or what is wrong with the judge's grades."""
    purposes = ("run",) if options.predict_only else ("run", "score")
    lines = [line for task in chosen for purpose in purposes for line in task.missing(options.data, purpose)]
    if lines:
        raise SampleError("; ".join(dict.fromkeys(lines)))
    if any(task.submission_suffix == ".xlsx" for task in chosen) and find_spec("openpyxl") is None:
        raise OptionError("an MMBench sheet needs openpyxl: pip install 'camml[eval]'")
    if not options.predict_only:
        tasks.check_data(chosen, options.data, "score")
    if options.settings.grades is not None:
        if not any("grades" in task.uses for task in chosen):
            names = ", ".join(task.title for task in chosen)
            raise OptionError(f"--grades is given, and none of these tasks uses grades: {names}; leave it out")
        if len(variants) > 1:
            names = ", ".join(variant.name for variant in variants)
            raise OptionError(
                f"--grades are those of one run's answers, and these are {len(variants)} runs ({names}): give one "
                "--context and one number of --shots with their grades"
            )
        read_grades(options.settings.grades)


def _items(task: Task, options: Options) -> tuple[list[Item], list[str]]:
    """Return the questions asked for, whose pictures are there, and what is to be said of their number."""
    every = task.read(task.place(options.data))
    seed = options.seed if options.spread else None
    items = drawn(every, options.limit, seed, whole=bool(task.together))
    gone = [str(item.image) for item in items if isinstance(item.image, Path) and not item.image.is_file()]
    if gone:
        raise ImageError(f"{task.title}: {len(gone)} pictures are not there: {listed(gone, 3)}")
    if not items:
        raise SampleError(f"{task.title} has no questions in {task.place(options.data)}")
    if len(items) in (options.limit, len(every)):
        return items, []
    return items, [
        f"{len(items)} of {len(every)} questions were asked, not {options.limit} (--limit): {task.together} belong "
        "together"
    ]


def _decoding(task: Task, options: Options) -> Decoding:
    limit = options.max_new_tokens if options.max_new_tokens is not None else task.max_new_tokens
    seed = options.seed if options.temperature else None
    return Decoding(limit, options.temperature, options.top_p, seed, options.grounded)


def _margin(options: Options, model: Model | None) -> float | None:
    """Return the margin of samples that are read, None where all are."""
    margin = options.margin if options.margin is not None or model is None else model.margin
    return None if margin == math.inf else margin


def _evidence(
    variants: Sequence[Variant], options: Options, fingerprints: Fingerprints, model: Model | None
) -> Evidence | None:
    """Open the datastore, where a variant needs it.

    Raises:
      OptionError: it needs one and there is none, or one with fewer samples.
      EncoderMismatchError: it does not fit the model.
    """
    if not any(variant.needs_store for variant in variants):
        return None
    if options.store is None:
        wanted = ", ".join(variant.name for variant in variants if variant.needs_store)
        raise OptionError(f"context {wanted} needs --store; or ask for --context none")
    from camml.datastore import open_store

    if model is not None:
        model.check_store(options.store, options.encoder)
    datastore, encoder = open_store(options.store, options.encoder, options.encoder_options, options.store_images)
    mode = options.mode or (model.mode if model else None)
    retriever = retriever_of(datastore, encoder, mode, options.keep_duplicates)
    searches = Memory(options.cache / "found" if options.cache else None)
    opened = unusual(datastore.manifest.encoder.options, options.encoder_options, options.store_images)
    evidence = Evidence(
        options.store, datastore, retriever, options.retrieved, options.seed, searches, fingerprints, opened
    )
    evidence.check(max(variant.shots for variant in variants))
    return evidence


def _predict(
    predictor: Predictor, folder: RunFolder, items: list[Item], options: Options, share: Share, progress: Progress
) -> list[Record]:
    """Return the records of all items, none in a process that does not lead.

    Of a complete run those questions are asked again that got no answer.
    """
    before, done = folder.mark(), folder.log(items)
    if done is not None and all(map(has_answer, done)):
        progress(str(folder.path), len(items), len(items))
        return done
    parts = portions(items, options.batch_size)
    answered = 0

    def report(more: int) -> None:
        nonlocal answered
        answered += more
        progress(str(folder.path), answered, len(items))

    predictor.fill(folder, parts, share, report, done or ())
    return folder.collect(parts, alone=share.world == 1, before=before) if share.leads else []


def _conclude(
    name: str, predictor: Predictor, items: list[Item], said: list[str], records: list[Record], folder: RunFolder,
    options: Options,
) -> Outcome:  # fmt: skip
    """Write the answers, what they took, and the score where there can be one."""
    task, variant = predictor.task, predictor.variant
    texts = {record["id"]: record["answer"].strip() for record in records}
    unanswered = {record["id"]: record["unanswered"] for record in records if not has_answer(record)}
    device = predictor.model.identity["device"] if predictor.model else None
    seconds = folder.seconds()
    measured = (None if seconds else folder.measures()) or measures(items, records, seconds, device)
    model = model_name(options.model) if variant.needs_model else variant.name
    answers = [answer_record(task, item, texts[item.id], model, unanswered.get(item.id, "")) for item in items]
    score, note = None, "not scored, as asked"
    if not options.predict_only:
        try:
            score, note = _score(name, task, items, texts, unanswered, folder.path, options)
        except SampleError:
            if folder.log(items) is None:  # what was answered can be scored later, and graded
                write_json(folder.path / "measures.json", measured)
                folder.complete(records, answers)
            raise
    notes = (*said, *_notes(score, records, measured, predictor.model is not None))
    score = replace(score, notes=notes) if score else None
    own = {} if score is None else score.per_item
    scored = [record | {"truth": item.truth, "score": own.get(item.id, own.get(item.cluster))}
              for item, record in zip(items, records, strict=True)]  # fmt: skip
    if score:
        write_json(folder.path / "score.json", score.document())
    if risk := risk_coverage(scored):
        measured = {**measured, "risk": risk}
    write_json(folder.path / "measures.json", measured)
    folder.complete(scored, answers)
    submission = folder.path / f"submission{task.submission_suffix}" if task.submit else None
    if task.submit and submission:
        task.submit(items, texts, submission, task.place(options.data))
    return Outcome(name, variant, folder.path, len(records), score, note, submission, measured, notes)


def _notes(
    score: Score | None, records: Sequence[Record], measured: Mapping[str, Any], asked: bool
) -> tuple[str, ...]:  # fmt: skip
    """Return what a reader of the answers must know: those of the score, and what was kept from before."""
    lacking = {record["id"]: record["unanswered"] for record in records if not has_answer(record)}
    own = score.notes if score else [unanswered_note(lacking, len(records))] if lacking else []
    seconds = measured["seconds"]
    new = seconds["questions_answered"] + seconds.get("questions_repeated", 0)  # earlier versions did not count these
    return (*own, *mixture(records, new if asked else None))


def _score(
    name: str, task: Task, items: list[Item], texts: dict[str, str], unanswered: Mapping[str, str], folder: Path,
    options: Options,
) -> tuple[Score | None, str]:  # fmt: skip
    """Return the score, or why there is none."""
    if any(item.truth is None for item in items):
        return None, f"the true answers are not public: hand in the submission ({task.submission})"
    if "grades" in task.uses and options.settings.grades is None:
        return None, (
            f"needs a judge: `camml eval judge {quote(str(folder))} --judge MODEL --data {quote(str(options.data))}`, "
            f"then run again with --grades; or hand in the submission ({task.submission})"
        )
    default = Settings()
    fitting = {key: getattr(options.settings, key) for key in task.uses}
    settings = replace(default, **fitting, unanswered=unanswered)
    return measured_score(name, task, items, texts, settings, len(items), options.resamples), ""
