"""`camml ask`: an answer from retrieved samples, with the evidence."""

import argparse
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camml.cli._output import (
    PASSAGES_HELP,
    as_json,
    json_value,
    key_values,
    neighbor_as_json,
    neighbor_as_text,
    print_json,
    quiet_unless_watched,
)
from camml.cli._pictures import add_store_images
from camml.errors import InputError, OptionError

if TYPE_CHECKING:
    from PIL import Image

    from camml.answering import Answerer, Decoding
    from camml.encoders import Encoder
    from camml.types import Context, Query

SUMMARY = "Answer a question from a datastore or from samples you name, and show the evidence."

DEFAULT_MODEL = "smollm2-135m-instruct"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("question", metavar="QUESTION")
    parser.add_argument("--image", metavar="FILE|URL", help="the picture the question is about")
    samples = parser.add_mutually_exclusive_group()
    samples.add_argument("--store", metavar="DIR", help="a datastore, or INDEX_FILE:DATA_JSON as published")
    samples.add_argument("--context", type=Path, metavar="FILE", help="samples to answer from, in the order they have")
    parser.add_argument(
        "--shots", type=int, metavar="N", help="samples to use (default: 3, in_prompt 1; all of --context)"
    )
    parser.add_argument("--mode", default="auto", help="auto, text-image, image-image, text-text or fused")
    parser.add_argument(
        "--where", action="append", default=[], metavar="KEY=VALUE", help="only samples with this metadata; repeatable"
    )
    add_store_images(parser)
    parser.add_argument("--encoder", metavar="NAME", help="what made the vectors, where the datastore does not say")
    parser.add_argument(
        "--encoder-option", action="append", default=[], metavar="KEY=VALUE", help="a setting of the encoder"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="DIR", help="a model's folder or name (%(default)s)")
    parser.add_argument(
        "--use",
        help="perceiver (CaMML models), interleaved (vision-language models) or in_prompt (language models); default: "
        "what fits",
    )
    parser.add_argument("--passages", default="auto", metavar="auto|off|N", help=PASSAGES_HELP)
    parser.add_argument("--prompt-style", metavar="NAME", help="the wording of a CaMML model's prompt")
    parser.add_argument("--max-new-tokens", type=int, default=128, metavar="N", help="the longest answer (%(default)s)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token (default)")
    parser.add_argument("--top-p", type=float, default=1.0, help="sample from this much probability (%(default)s)")
    parser.add_argument("--seed", type=int, help="of the sampling")
    parser.add_argument("--device", help="cpu, cuda, mps; default: the best there is")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16; default: what suits the device")
    parser.add_argument("--stream", action="store_true", help="print the answer as it comes (with --json: JSON lines)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Retrieve, answer, print."""
    from camml.answering import DEFAULT_SHOTS
    from camml.evidence import usable
    from camml.types import Query

    if not args.question.strip():
        raise InputError("the question is empty")
    if args.shots is not None and args.shots < 1:
        raise OptionError(f"--shots is {args.shots}; give 1 or more, or leave out --store and --context to use none")
    decoding = _decoding(args)
    query = Query(args.question, _image(args.image))
    started = time.perf_counter()
    encoder: Encoder | None = None
    context: Context = ()
    if args.context:
        context = _given(args)
    elif args.store:
        context, encoder = _retrieved(args, query)
    retrieved = time.perf_counter()
    answerer, use = _answerer(args)
    if args.store and args.shots is None:
        context = context[: DEFAULT_SHOTS.get(use)]
    context, unusable = usable(context, lambda reason: None)
    context = _read(args, answerer, encoder, query, context)
    loaded = time.perf_counter()
    seconds = {"retrieve": retrieved - started, "load": loaded - retrieved}
    if args.stream:
        return _stream(args, answerer, query, context, decoding, seconds, unusable)
    [prediction] = answerer.answer([query], [context], decoding)
    seconds["answer"] = time.perf_counter() - loaded
    notes = unusable + prediction.notes
    if args.json:
        facts = {name: getattr(prediction, name) for name in ("prompt", "prompt_tokens", "new_tokens")}
        print_json(_document(args, prediction.text, context, seconds) | facts | {"notes": notes})
    else:
        print(prediction.text)
        _print_evidence(context, seconds, notes)
    return 0


def _decoding(args: argparse.Namespace) -> "Decoding":
    from camml.answering import Decoding

    return Decoding(args.max_new_tokens, args.temperature, args.top_p, args.seed)


def _image(source: str | None) -> "Image.Image | None":
    from camml.images import open_image

    return None if source is None else open_image(source)


def _given(args: argparse.Namespace) -> "Context":
    """The samples of `--context`, in their order."""
    from camml import formats
    from camml.types import Neighbor

    samples = list(formats.read(args.context, mend_ids=True))
    if not samples:
        raise InputError(f"{args.context} holds no samples")
    _check_shots(args.shots, len(samples), str(args.context))
    return tuple(Neighbor(sample, math.nan) for sample in samples[: args.shots])


def _retrieved(args: argparse.Namespace, query: "Query") -> "tuple[Context, Encoder]":
    """Return the samples of `--store` that are nearest, and the encoder that found them."""
    from camml.answering import DEFAULT_SHOTS
    from camml.datastore import open_store
    from camml.errors import EmptyStoreError
    from camml.retriever import Retriever

    options = {key: json_value(text) for key, text in key_values(args.encoder_option, "--encoder-option").items()}
    datastore, encoder = open_store(args.store, args.encoder, options or None, args.store_images)
    if not len(datastore):
        raise EmptyStoreError(f"{args.store} holds no samples; add some with `camml store add`")
    _check_shots(args.shots, len(datastore), args.store)
    where = key_values(args.where, "--where") or None
    shots = args.shots or min(max(DEFAULT_SHOTS.values()), len(datastore))
    [context] = Retriever(datastore, encoder, args.mode).retrieve([query], shots, where)
    return context, encoder


def _read(
    args: argparse.Namespace, answerer: "Answerer", encoder: "Encoder | None", query: "Query", context: "Context"
) -> "Context":
    """Return the samples with the passages that the model has room for."""
    from camml import encoders
    from camml.answering import budget_of, with_passages
    from camml.features.passages import PassageChooser

    budget = budget_of(answerer, args.passages)
    if budget is None or not budget.exceeded(context):
        return context
    chooser = PassageChooser.beside(args.store, encoder or encoders.load("mini"))
    [chosen] = with_passages(answerer, chooser, [query], [context], args.passages)
    return chosen


def _check_shots(shots: int | None, there: int, where: str) -> None:
    if shots is not None and shots > there:
        raise OptionError(f"--shots is {shots}, but {where} holds {there} samples; give at most {there}")


def _answerer(args: argparse.Namespace) -> "tuple[Answerer, str]":
    """The model, and the way it uses samples."""
    from camml import answering, plugins, weights

    quiet_unless_watched()
    use = args.use
    if use == "api":
        raise OptionError(
            "`camml ask` answers with a model on this machine; one behind an endpoint is asked with "
            "`camml eval run TASK --use api --model NAME --base-url URL`, or in Python with camml.answering.api"
        )
    if use is not None:
        plugins.find("answering", use)  # before a folder is looked for that such a model may not have
    folder = weights.folder(args.model)
    if use is None:
        use = answering.fitting(folder)
    options: dict[str, Any] = {"device": args.device, "dtype": args.dtype}
    if use == "perceiver":
        from camml.features.samples import folder_of

        options["cache"] = folder_of(args.store)
    if args.prompt_style:
        if use != "perceiver":
            raise OptionError("--prompt-style is for CaMML models; other models have their own chat template")
        options["prompt_style"] = args.prompt_style
    return answering.load(use, folder, **options), use


def _stream(
    args: argparse.Namespace,
    answerer: "Answerer",
    query: "Query",
    context: "Context",
    decoding: "Decoding",
    seconds: dict[str, float],
    unusable: tuple[str, ...],
) -> int:
    """The answer piece by piece, then the evidence."""
    started, pieces, notes = time.perf_counter(), [], unusable + answerer.notes(query, context, decoding)
    for piece in answerer.stream(query, context, decoding):
        pieces.append(piece)
        print(as_json({"piece": piece}) if args.json else piece, end="\n" * args.json, flush=True)
    seconds["answer"] = time.perf_counter() - started
    if args.json:
        whole = _document(args, "".join(pieces).strip(), context, seconds) | {"notes": notes}
        print(as_json(whole))
    else:
        print()
        _print_evidence(context, seconds, notes)
    return 0


def _document(args: argparse.Namespace, answer: str, context: "Context", seconds: dict[str, float]) -> dict[str, Any]:
    return {
        "question": args.question,
        "image": args.image,
        "answer": answer,
        "context": [neighbor_as_json(neighbor) for neighbor in context],
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }


def _print_evidence(context: "Context", seconds: dict[str, float], notes: tuple[str, ...]) -> None:
    print("\nevidence" if context else "\nno evidence: answered without samples")
    for neighbor in context:
        print(neighbor_as_text(neighbor))
    for note in notes:
        print(f"note: {note}")
    print(", ".join(f"{name} {value:.1f} s" for name, value in seconds.items()))
