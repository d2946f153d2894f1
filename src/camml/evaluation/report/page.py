"""The page of one run: every question with picture, samples, prompt, answer, truth and score, to filter and search."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from camml.evaluation.contexts import KINDS
from camml.evaluation.files import write_bytes
from camml.evaluation.report.pictures import Pictures
from camml.evaluation.report.published import measures
from camml.evaluation.report.records import SampleTable, entry, verdicts
from camml.evaluation.report.rendering import page
from camml.evaluation.report.runs import Run
from camml.evaluation.report.samples import QuestionPictures, Stores

PROMPTS_A_FILE = 200
"""Prompts are long and rarely looked at: the page loads a file of them when one is opened."""


def write_run(run: Run, out: Path, stores: Stores, data: Path, pictures: Pictures) -> dict[str, int]:
    """Write the page of a run, with its data, to `out/runs/<place>/`; return its number of wrong answers, by its place.

    The result is empty where no answer is right or wrong.

    Raises:
      SampleError: its log cannot be read.
      DiskError: the folder cannot be written.
    """
    folder = out / "runs" / run.place
    samples, remark = stores.of(run)
    table, images = SampleTable(samples, pictures), QuestionPictures(run.task, data)
    records = list(run.records())
    words = verdicts([record.get("score") for record in records], measures(run.task)[0].name)
    entries = [
        entry(record, word, table, images, pictures) for record, word in zip(records, words, strict=True)
    ]  # fmt: skip
    prompts = [str(record.get("prompt") or "") for record in records]
    for place in range(0, len(prompts), PROMPTS_A_FILE):
        part = place // PROMPTS_A_FILE
        _write_script(folder / f"prompts-{part}.js", f"camml.prompts[{part}]", prompts[place : place + PROMPTS_A_FILE])
    content = {"perFile": PROMPTS_A_FILE, "entries": entries, "samples": table.rows, "prompts": {}}
    _write_script(folder / "records.js", "var camml", content)
    write_bytes(folder / "index.html", _page(run, remark))
    return {run.place: words.count("wrong")} if {"right", "wrong"} & set(words) else {}


def _write_script(path: Path, name: str, value: Any) -> None:
    """Write data as a script, since a page opened from a disk may load scripts but not read files."""
    write_bytes(path, f"{name} = {json.dumps(value, separators=(',', ':'))};\n".encode("ascii"))


def _page(run: Run, remark: str) -> bytes:
    """Return the page around the questions; `remark` is what its datastore lacks.

    Above the questions stands what a reader of the score must know: some have no answer, or one of an earlier run.
    """
    headline = measures(run.task)[0]
    return page(
        "run.html",
        root="../..",
        title=f"{headline.title}: {run.system}",
        run=run,
        measure=headline,
        figure=run.figure(headline),
        remarks=[remark] * bool(remark) + [str(note) for note in (run.score or {}).get("notes") or ()],
        facts=list(_facts(run)),
        numbers=list(_numbers(run)) if run.score else [],
    )


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    identity = run.identity
    model, store = identity.get("model"), identity.get("store")
    drawn = f"{run.questions} drawn from all alike" if identity.get("spread") else f"the first {run.questions}"
    yield "questions", drawn if run.subset else f"all {run.questions}"
    yield "context", KINDS.get(identity["context"], identity["context"])
    yield "samples given", str(identity["shots"])
    yield from _lines("model", model)
    yield from _lines("datastore", store)
    yield from _lines("decoding", identity.get("decoding"))
    for key in ("batch_size", "seed"):
        if key in identity:
            yield key.replace("_", " "), str(identity[key])
    yield from _lines("version of", identity.get("versions"))


def _lines(name: str, values: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    for key, value in (values or {}).items():
        if isinstance(value, dict):
            yield from _lines(f"{name} {key}", value)
        elif value is not None:
            yield f"{name} {key.replace('_', ' ')}", str(value)


def _numbers(run: Run, values: Mapping[str, Any] | None = None, kind: str = "") -> Iterator[tuple[str, str]]:
    for name, value in ((run.score or {})["values"] if values is None else values).items():
        if isinstance(value, dict):
            yield from _numbers(run, value, f"{name}: ")
        else:
            yield kind + name, f"{value:.4f}"
