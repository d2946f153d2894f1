"""`camml ask`: an answer from retrieved samples, with the evidence."""

import argparse
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camml.cli._answering import (
    add_decoding,
    add_model,
    add_search,
    assistant_of,
    check_samples,
    collection_of,
    decoding_of,
    say_weights_unused,
    where_of,
)
from camml.cli._output import as_json, check_unicode, given_path, neighbor_as_json, neighbor_as_text, print_json
from camml.errors import InputError, OptionError
from camml.passages import check_passages

if TYPE_CHECKING:
    from camml.answering import Decoding
    from camml.assistant import Answer, Assistant, Ready
    from camml.types import Context, Query

SUMMARY = "Answer a question from a datastore or from samples you name, and show the evidence."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("question", metavar="QUESTION", nargs="?", help="the question, in quotes")
    parser.add_argument("--image", metavar="FILE|URL", help="the picture the question is about")
    samples = parser.add_mutually_exclusive_group()
    samples.add_argument("--store", metavar="DIR", help="a datastore, or INDEX_FILE:DATA_JSON as published")
    samples.add_argument("--context", metavar="FILE", help="samples to answer from, in the order they have")
    add_search(parser)
    add_model(parser)
    add_decoding(parser)
    served = parser.add_mutually_exclusive_group()
    served.add_argument(
        "--server", metavar="URL", help="ask a running `camml serve`; --store names one of its datastores"
    )
    served.add_argument(
        "--no-server", action="store_true", help="answer here, even where a server of yours runs with this datastore"
    )
    parser.add_argument("--batch", type=given_path, metavar="FILE", help="questions as JSON lines: id, question, image")
    parser.add_argument("--out", type=given_path, metavar="FILE", help="of --batch: answers are added there")
    parser.add_argument(
        "--on-bad",
        choices=("stop", "skip"),
        default="stop",
        help="of --batch: at a bad question (stop)",
    )
    parser.add_argument("--attribute", action="store_true", help="say which sample the answer depends on")
    parser.add_argument("--stream", action="store_true", help="print the answer as it comes (with --json: JSON lines)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Retrieve, answer, print."""
    if args.out and not args.batch:
        raise OptionError("--out is for --batch; an answer is printed (with --json as JSON)")
    check_unicode(args.question or "", "the question")
    check_given(args)
    from camml.cli import _ask_server

    if args.server:
        return _ask_server.run(args)
    if args.shots is not None and args.shots < 1:
        raise OptionError(f"--shots is {args.shots}; give 1 or more, or leave out --store and --context to use none")
    check_passages(args.passages or "auto")
    check_samples(args)
    if args.batch:
        from camml.cli import _ask_batch

        return _ask_batch.run(args)
    if args.question is None or not args.question.strip():
        raise InputError("the question is empty")
    say_weights_unused(args, args.question)
    if _ask_server.run_here(args):
        return 0
    query, given = _query(args), _given(args) if args.context else ()
    started = time.perf_counter()
    assistant = assistant_of(args)  # what is imported for it takes long, so what may be wrong is looked at before
    decoding = decoding_of(args)
    ready, seconds = _ready(args, assistant, query, given, started)
    loaded = time.perf_counter()
    if args.stream:
        return _stream(args, assistant, ready, decoding, seconds)
    [answer] = assistant.answer([ready], decoding)
    seconds["answer"] = time.perf_counter() - loaded
    shares = _attributed(args, assistant, ready, answer)
    if args.json:
        print_json(document(args.question, args.image, answer, seconds) | shares)
    else:
        print(answer.text)
        print_evidence(answer, seconds)
        for line in shares.get("attribution", ()):
            print(f"without {line['id']}: {line['change']:+.3f} in the log-probability of the answer")
    return 0


def check_given(args: argparse.Namespace) -> None:
    """Raise an OptionError if an option is empty, as a variable of the shell is that nobody has set."""
    for name in ("image", "store", "context", "server"):
        value = getattr(args, name, None)
        if value is not None and not value.strip():
            raise OptionError(f"--{name} is empty; give what it is to name, or leave it out")


def _query(args: argparse.Namespace) -> "Query":
    from camml.images.data_urls import opened
    from camml.layouts import local_path
    from camml.types import Query

    return Query(args.question, None if args.image is None else opened(local_path(args.image)))


def _ready(
    args: argparse.Namespace, assistant: "Assistant", query: "Query", given: "Context", started: float
) -> "tuple[Ready, dict[str, float]]":
    """Return the question with its samples, and the seconds that took."""
    if args.store:
        collection = collection_of(args, assistant)
        shots = min(args.shots or assistant.shots, len(collection))
        contexts = collection.find([query], shots, where_of(args))
        retrieved = time.perf_counter()
        [ready] = collection.ready([query], contexts, args.passages)
    else:
        retrieved = started  # nothing is searched: all of this is loading
        [ready] = assistant.ready([query], [given], passages=args.passages)
    return ready, {"retrieve": retrieved - started, "load": time.perf_counter() - retrieved}


def _given(args: argparse.Namespace) -> "Context":
    """Return the samples of `--context`, in their order."""
    from camml import formats
    from camml.types import Neighbor

    samples = list(formats.read(Path(args.context), mend_ids=True))
    if not samples:
        raise InputError(f"{args.context} holds no samples")
    return tuple(Neighbor(sample, math.nan) for sample in samples[: args.shots])


def _attributed(
    args: argparse.Namespace, assistant: "Assistant", ready: "Ready", answer: "Answer"
) -> dict[str, list[dict[str, Any]]]:
    """Return what each sample does to the answer, if that was asked for."""
    if not args.attribute:
        return {}
    from camml.assistant.attribution import attribute

    return {
        "attribution": [
            {"id": part.id, "change": round(part.change, 4)} for part in attribute(assistant, ready, answer)
        ]
    }


def _stream(
    args: argparse.Namespace, assistant: "Assistant", ready: "Ready", decoding: "Decoding", seconds: dict[str, float]
) -> int:
    """Print the answer piece by piece, then the evidence."""
    started, pieces = time.perf_counter(), []
    for piece in assistant.stream(ready, decoding):
        pieces.append(piece)
        print(as_json({"piece": piece}) if args.json else piece, end="\n" * args.json, flush=True)
    answer = assistant.streamed(ready, "".join(pieces), decoding)
    seconds["answer"] = time.perf_counter() - started
    shares = _attributed(args, assistant, ready, answer)
    if args.json:
        print(as_json(document(args.question, args.image, answer, seconds) | shares))
    else:
        print()
        print_evidence(answer, seconds)
    return 0


def document(question: str, image: str | None, answer: "Answer", seconds: dict[str, float]) -> dict[str, Any]:
    """Return an answer as JSON shows it."""
    facts = {name: getattr(answer, name) for name in ("refused", "reason", "prompt", "prompt_tokens", "new_tokens")}
    return {
        "question": question,
        "image": image,
        "answer": answer.text,
        "context": [neighbor_as_json(neighbor) for neighbor in answer.evidence],
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        **facts,
        "notes": list(answer.notes),
    }


def print_evidence(answer: "Answer", seconds: dict[str, float]) -> None:
    """Print the samples that an answer was made from, and what to know of it."""
    if answer.refused:
        print(f"refused: {answer.reason}")
    if answer.evidence:
        print("\nnearest samples" if answer.refused else "\nevidence")
    elif not answer.refused:
        print("\nno evidence: answered without samples")
    for neighbor in answer.evidence:
        print(neighbor_as_text(neighbor))
    for note in answer.notes:
        print(f"note: {note}")
    print(", ".join(f"{name} {value:.1f} s" for name, value in seconds.items()))
