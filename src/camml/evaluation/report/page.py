"""The page of one run: every question with picture, samples, prompt, answer, truth and score, to filter and search."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from camml.evaluation.contexts import KINDS
from camml.evaluation.files import write_bytes
from camml.evaluation.report.leaderboard import number, spread
from camml.evaluation.report.markup import Markup, document, element, joined
from camml.evaluation.report.pictures import Pictures
from camml.evaluation.report.published import measures
from camml.evaluation.report.records import SampleTable, entry, verdicts
from camml.evaluation.report.runs import Figure, Run
from camml.evaluation.report.samples import QuestionPictures, Stores

PROMPTS_A_FILE = 200
"""Prompts are long and rarely looked at: the page loads a file of them when one is opened."""


def write_run(run: Run, out: Path, stores: Stores, data: Path, pictures: Pictures) -> dict[str, int]:
    """Write the page of a run, with its data, to `out/runs/<place>/`; its number of wrong answers, by its place.

    That is empty where no answer is right or wrong.

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
    title = f"{measures(run.task)[0].title}: {run.system}"
    write_bytes(folder / "index.html", document(title, "../..", _body(run, remark), ("records.js",)))
    return {run.place: words.count("wrong")} if {"right", "wrong"} & set(words) else {}


def _write_script(path: Path, name: str, value: Any) -> None:
    """Write data as a script, since a page opened from a disk may load scripts but not read files."""
    write_bytes(path, f"{name} = {json.dumps(value, separators=(',', ':'))};\n".encode("ascii"))


def _body(run: Run, remark: str) -> Markup:
    headline = measures(run.task)[0]
    figure = run.figure(headline)
    return joined(
        element(
            "header",
            element("nav", element("a", "← Leaderboard", href="../../index.html"), class_="crumbs"),
            element("h1", headline.title),
            element("p", run.system, class_="system"),
            element("p", *_score(figure, headline.name), class_="headline"),
            *(element("p", told, class_="remark") for told in (remark, *_notes(run)) if told),
            element(
                "div",
                element("details", element("summary", "How it was run"), _table(_facts(run))),
                element("details", element("summary", "All numbers"), _table(_numbers(run))) if run.score else None,
                class_="folds",
            ),
        ),
        element("main", element("noscript", "This page needs JavaScript. The same is in the run's log.jsonl."),
                id="records"),
    )  # fmt: skip


def _notes(run: Run) -> list[str]:
    """Return what a reader of the score must know: questions without an answer, answers that were kept from before."""
    return [str(note) for note in (run.score or {}).get("notes") or ()]


def _score(figure: Figure | None, name: str) -> Iterator[Markup]:
    if figure is None:
        yield element("strong", "not scored")
        return
    yield joined(element("span", f"{name.replace('_', ' ')} ", class_="quiet"), element("strong", number(figure.value)))
    if interval := spread(figure):
        yield element("span", f" 95 % interval {interval}", class_="quiet")


def _table(rows: Iterator[tuple[str, str]]) -> Markup:
    lines = (element("tr", element("th", name, scope="row"), element("td", value)) for name, value in rows)
    return element("div", element("table", element("tbody", *lines), class_="facts"), class_="scroll")


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
