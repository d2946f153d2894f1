"""Ask about notes in plain prose (`plain_notes.toml`), as a person would: one datastore, found by words, three samples.

    python benchmarks/plain_notes.py models/camml-mini
    python benchmarks/plain_notes.py checkpoints/in_prompt --use in_prompt --shots 1
    python benchmarks/plain_notes.py models/camml-mini --split validation --verbose --out notes.json
    python benchmarks/plain_notes.py models/camml-mini --notes benchmarks/strangers_notes.toml

Further flags are those of `camml ask`. Prints for each split how many answers are right, how many of the questions that
a note answers are refused, how many of those that none answers, how often the right note is found, and how many are
right of those whose answers stand in each quarter of their text.
"""

import argparse
import csv
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camml.refusals import first_line, refuses

NOTES = Path(__file__).with_suffix(".toml")
STORE_MODEL = Path(__file__).parents[1] / "models" / "camml-mini"
SPLITS = ("validation", "test")
MORE_WORDS = 12
"""An answer may have this many words more than the right one, and hold it."""

_NUMBER = r"[\d.]+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|thirty"


@dataclass(frozen=True, slots=True)
class Result:
    """A question, what is right (nothing: to be refused), what was answered, and how far into its text that stands."""

    split: str
    question: str
    right: list[str]
    answer: str
    found: bool
    depth: float = 0.0

    @property
    def is_right(self) -> bool:
        """Whether the answer is one of the right ones, or a few words that hold one."""
        if not self.right:
            return refuses(self.answer)
        said = _plain(first_line(self.answer))
        ways = [_plain(way) for way in self.right]
        numbers = {way.split()[0] for way in ways if re.fullmatch(_NUMBER, way.split()[0])}
        short = len(said.split()) <= max(len(way.split()) for way in ways) + MORE_WORDS
        return said in numbers or (short and any(re.search(rf"\b{re.escape(way)}\b", said) for way in ways))


def main() -> None:
    """Ask all, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--notes", type=Path, default=NOTES, help="the file of notes (default: plain_notes.toml)")
    parser.add_argument("--split", choices=SPLITS, help="only these notes (default: all)")
    parser.add_argument("--verbose", action="store_true", help="print every answer")
    parser.add_argument("--out", type=Path, help="write all answers as JSON")
    args, flags = parser.parse_known_args()
    results = [result for result in ask(args.model, flags, args.notes) if args.split in (None, result.split)]
    for result in results if args.verbose else []:
        print("right" if result.is_right else "wrong", "|", result.question, "|", first_line(result.answer))
    summary = {split: summarise([r for r in results if r.split == split]) for split in SPLITS}
    for split, numbers in summary.items():
        if numbers["answerable"]:
            print(split, json.dumps(numbers))
    if args.out:
        answers = [{"question": r.question, "answer": r.answer, "right": r.is_right} for r in results]
        args.out.write_text(json.dumps({"model": args.model, "flags": flags, **summary, "answers": answers}, indent=1))


def ask(model: str, flags: list[str], file: Path = NOTES) -> list[Result]:
    """Return the answers to all questions of a file, from a datastore of all its notes."""
    notes: list[dict[str, Any]] = tomllib.loads(file.read_text("utf-8"))["note"]
    with tempfile.TemporaryDirectory() as folder:
        table, store, questions, out = (
            Path(folder, name) for name in ("notes.csv", "store", "questions.jsonl", "out.jsonl")
        )
        with table.open("w", newline="") as file:
            csv.writer(file).writerows(
                [("id", "text"), *((str(n), _joined(note["text"])) for n, note in enumerate(notes))]
            )
        asked = [(n, question) for n, note in enumerate(notes) for question in note["questions"]]
        lines = [json.dumps({"id": str(i), "question": question["ask"]}) for i, (_, question) in enumerate(asked)]
        questions.write_text("\n".join(lines))
        _camml("store", "build", table, "--out", store, "--model", STORE_MODEL)
        _camml("ask", "--batch", questions, "--out", out, "--store", store, "--model", model, "--no-server", *flags)
        answers = {int(line["id"]): line for line in map(json.loads, out.read_text().splitlines())}
    return [
        Result(
            notes[n]["split"],
            question["ask"],
            question["right"],
            answers[i]["answer"],
            str(n) in [sample["id"] for sample in answers[i]["context"]],
            depth(_joined(notes[n]["text"]), question["right"]),
        )
        for i, (n, question) in enumerate(asked)
    ]


def depth(text: str, right: list[str]) -> float:
    """Return where the longest of the answers that a text holds stands: 0 at its beginning, below 1 at its end."""
    held = [way.lower() for way in right if way.lower() in text.lower()]
    return text.lower().find(max(held, key=len)) / len(text) if held else 0.0


def summarise(results: list[Result]) -> dict[str, Any]:
    """Return the counts of a split."""
    answerable = [result for result in results if result.right]
    others = [result for result in results if not result.right]
    quarters = [[result for result in answerable if int(4 * result.depth) == number] for number in range(4)]
    return {
        "answerable": len(answerable),
        "right": sum(result.is_right for result in answerable),
        "refused_wrongly": sum(refuses(result.answer) for result in answerable),
        "right_note_read": sum(result.found for result in answerable),
        "unanswerable": len(others),
        "refused_rightly": sum(result.is_right for result in others),
        "right_of_each_quarter": [[sum(result.is_right for result in part), len(part)] for part in quarters],
    }


def _camml(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "camml", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def _joined(text: str) -> str:
    return " ".join(text.split())


def _plain(text: str) -> str:
    """Return a text without capitals, signs, and the words it may begin with."""
    lower = re.sub(r"^(?:(?:a|an|the|in|at|on|about|some|from|to|for|only)\s+)+", "", text.lower().strip())
    return " ".join(re.sub(r"[^\w ]", "", lower).split())


if __name__ == "__main__":
    main()
