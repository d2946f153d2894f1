"""Options that verbs which answer share: which model, which samples, and how the answer is made."""

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camml import plugins, prompts, weights
from camml.cli._datastore import add_encoder_option, add_store_images, encoder_options
from camml.cli._output import PASSAGES_HELP, conditions, numbers, quiet_unless_watched
from camml.errors import EmptyStoreError, OptionError, UnknownNameError
from camml.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from camml.answering import Decoding
    from camml.assistant import Assistant, Collection
    from camml.types import Where

OF_STORE = {
    "where": "--where", "mode": "--mode", "weights": "--weights", "rerank": "--rerank", "encoder": "--encoder",
    "encoder_option": "--encoder-option", "store_images": "--store-images", "min_score": "--min-score",
    "margin": "--margin",
}  # fmt: skip
"""Options that say how samples of a datastore are searched."""
OF_SAMPLES = {"shots": "--shots", "passages": "--passages"}
"""Options that say how much of the samples is read, wherever they come from."""


def add_model(parser: argparse.ArgumentParser) -> None:
    """Declare which model answers."""
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="DIR", help="a model's folder or name (%(default)s)")
    parser.add_argument(
        "--use",
        help="perceiver (CaMML models), interleaved (vision-language models) or in_prompt (language models); default: "
        "what fits",
    )
    parser.add_argument(
        "--prompt-style",
        metavar="NAME",
        help="a wording: official, chat, ... for CaMML models; plain, brief, ranked, ... for the others",
    )
    parser.add_argument("--device", help="cpu, cuda, mps; default: the best there is")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16; default: what suits the device")


def add_where(parser: argparse.ArgumentParser) -> None:
    """Declare which samples may be found."""
    parser.add_argument(
        "--where", action="append", default=[], metavar="KEY=VALUE",
        help="only samples with this metadata; KEY<=VALUE and the like compare numbers and dates; repeatable",
    )  # fmt: skip


def add_ranking(parser: argparse.ArgumentParser) -> None:
    """Declare how what is found is put into order."""
    parser.add_argument(
        "--weights", action="append", default=[], metavar="image=N,text=N",
        help="what a picture and words count where both are compared (default: by what a sample stands out most in)",
    )  # fmt: skip
    parser.add_argument("--rerank", metavar="NAME", help="a cross-encoder that puts what was found into order")


def add_search(parser: argparse.ArgumentParser) -> None:
    """Declare how samples of a datastore are found."""
    parser.add_argument(
        "--shots", type=int, metavar="N", help="samples to use, at most (default: what suits the model)"
    )
    parser.add_argument("--mode", help="auto, text-image, image-image, text-text or fused (default: the model's)")
    add_where(parser)
    add_store_images(parser)
    add_ranking(parser)
    parser.add_argument(
        "--encoder",
        metavar="NAME",
        help="search with this encoder (the one that built the vectors) instead of the model's",
    )
    add_encoder_option(parser)
    parser.add_argument("--passages", metavar="auto|off|N|N-M|first:N", help=PASSAGES_HELP)
    add_threshold(parser)


def add_threshold(parser: argparse.ArgumentParser) -> None:
    """Declare what is done where no sample is near enough."""
    parser.add_argument(
        "--min-score", type=float, metavar="X",
        help="refuse where no sample has this score (default: what `camml store calibrate` found, if it was run)",
    )  # fmt: skip
    parser.add_argument(
        "--fallback", choices=("refuse", "model"), default="refuse",
        help="where no sample is near enough: refuse, or let the model answer without samples (%(default)s)",
    )  # fmt: skip
    add_margin(parser)


def add_margin(parser: argparse.ArgumentParser) -> None:
    """Declare which samples beside the nearest one are left out."""
    parser.add_argument(
        "--margin", metavar="X|off",
        help="leave out samples whose pictures are less like the question's than the nearest sample's is, by a cosine "
        "of more than X (default: the model's own; CaMML mini: 0.1)",
    )  # fmt: skip


def margin_of(args: argparse.Namespace) -> float | None:
    """Return the number of `--margin`, infinity for `off`, None where it is not given.

    Raises:
      OptionError: it is no number that a margin can be.
    """
    if args.margin is None:
        return None
    from camml.assistant.threshold import check_margin

    try:
        margin = math.inf if args.margin == "off" else float(args.margin)
    except ValueError:
        raise OptionError(f"--margin {args.margin!r} should be a number such as 0.1, or off") from None
    check_margin(margin)
    return margin


def add_decoding(parser: argparse.ArgumentParser) -> None:
    """Declare how an answer is chosen."""
    parser.add_argument("--max-new-tokens", type=int, default=128, metavar="N", help="the longest answer (%(default)s)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token (default)")
    parser.add_argument("--top-p", type=float, default=1.0, help="sample from this much probability (%(default)s)")
    parser.add_argument("--seed", type=int, help="of the sampling")
    add_grounded(parser)


def add_grounded(parser: argparse.ArgumentParser) -> None:
    """Declare whether answers are held to words of their samples."""
    parser.add_argument(
        "--grounded", action=argparse.BooleanOptionalAction,
        help="say only words of the samples and of the question, yes, no, or a small number (default: as the model has "
        "it; CaMML mini does)",
    )  # fmt: skip


def check_samples(args: argparse.Namespace) -> None:
    """Raise an OptionError if an option is for a datastore or for samples, and none of these are given."""
    if args.store:
        return
    context = getattr(args, "context", None)
    options = OF_STORE if context else OF_STORE | OF_SAMPLES
    given = [flag for name, flag in options.items() if getattr(args, name) is not None and getattr(args, name) != []]
    given += ["--fallback"] * (args.fallback != "refuse")
    if not given:
        return
    them = f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} for"
    if context:
        raise OptionError(f"{them} --store: the samples of --context are read in their order; leave out what is named")
    or_file = ", or a file of samples with --context" if hasattr(args, "context") else ""
    if set(given) & set(OF_SAMPLES.values()):
        raise OptionError(f"{them} samples; name a datastore with --store{or_file}")
    raise OptionError(f"{them} --store; name a datastore with it")


def decoding_of(args: argparse.Namespace) -> "Decoding":
    """Return how an answer is to be chosen.

    Raises:
      OptionError: a setting is invalid.
    """
    from camml.answering import Decoding

    return Decoding(args.max_new_tokens, args.temperature, args.top_p, args.seed, args.grounded)


def assistant_of(args: argparse.Namespace) -> "Assistant":
    """Return the model, which is not loaded yet.

    Raises:
      OptionError: it cannot be used in this way.
      UnknownNameError, ModelFolderError: there is no such model.
      StoreError: there is no datastore at --store.
    """
    if args.use == "api":
        raise OptionError(
            "this verb answers with a model on this machine; one behind an endpoint is asked with "
            "`camml eval run TASK --use api --model NAME --base-url URL`, or in Python with camml.answering.api"
        )
    here = [way for way in plugins.names("answering") if way != "api"]
    if args.use not in (None, *here):  # before a folder is looked for that such a model may not have
        raise UnknownNameError(f"--use {args.use!r} is not a way of using samples; there are: {', '.join(here)}")
    folder = weights.folder(args.model)
    if store := getattr(args, "store", None):
        _check_store(store)
    from camml import assistant  # which takes long

    quiet_unless_watched()
    options: dict[str, Any] = {"device": args.device, "dtype": args.dtype}
    loaded = assistant.load(folder, args.use, **options)
    if args.prompt_style:
        if loaded.use != "perceiver":
            prompts.paste("", [], args.prompt_style)  # an unknown name is said before the model is loaded
        loaded.options["prompt_style"] = args.prompt_style
    return loaded


def _check_store(place: str) -> None:
    """Raise a StoreError if there is no datastore at a place, unless files as published are named."""
    from camml.datastore import manifest, official

    if official.official_pair(place) is None:
        manifest.read(Path(place))


def collection_of(args: argparse.Namespace, assistant: "Assistant") -> "Collection":
    """Return the datastore of `--store`, opened.

    Raises:
      StoreError: the datastore cannot be opened, or holds nothing.
      OptionError: a setting is invalid.
    """
    collection = assistant.open(
        args.store,
        encoder=args.encoder,
        encoder_options=encoder_options(args) or None,
        images=args.store_images,
        mode=args.mode,
        weights=weights_of(args),
        rerank=args.rerank,
        min_score=args.min_score,
        fallback=args.fallback,
        margin=margin_of(args),
    )
    if not len(collection):
        raise EmptyStoreError(f"{args.store} holds no samples; add some with `camml store add`")
    return collection


def weights_of(args: argparse.Namespace) -> dict[str, float] | None:
    """Return what a picture and words count, None where nothing is said of it.

    Raises:
      OptionError: they are no numbers, or the mode has nothing to weigh.
    """
    weights = numbers(args.weights, "--weights")
    if weights and args.mode not in (None, "auto"):
        raise OptionError(
            f"--weights is for --mode auto; in --mode {args.mode} nothing is weighed: leave one of them out"
        )
    return weights


def say_weights_unused(args: argparse.Namespace, question: str) -> None:
    """Say on standard error that `--weights` changes nothing for a question without a picture, or without words."""
    if args.weights and args.mode in (None, "auto") and not (args.image and question.strip()):
        print(
            "camml: --weights changes nothing: it counts where a picture and words are both searched by",
            file=sys.stderr,
        )


def where_of(args: argparse.Namespace) -> "Where | None":
    """Return which samples may be found."""
    return conditions(args.where) or None
