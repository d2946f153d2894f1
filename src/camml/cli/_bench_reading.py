"""`camml bench-data reading` and `mix`: data to train reading on."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camml.errors import OptionError

if TYPE_CHECKING:
    from camml.reading import Shorten, TextLimit


def add_actions(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the two actions."""
    reading = actions.add_parser("reading", help="write invented records and questions about them, to train on")
    reading.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    reading.add_argument("--rows", type=int, default=10000, metavar="N", help="conversations (default: %(default)s)")
    reading.add_argument("--seed", type=int, default=0, help="of all that is invented (default: %(default)s)")
    reading.add_argument(
        "--pictures", type=Path, metavar="DIR", help="a build of FactPix, whose training pictures the records get"
    )
    reading.add_argument(
        "--context-tokens", type=int, metavar="N",
        help="tokens of all samples together that the model reads: the answers of a row stand within so many "
        "(default: texts of any length)",
    )  # fmt: skip
    reading.add_argument(
        "--passages", action="store_true",
        help="write long texts, and keep of them the passages that a row's first question asks for, as many as "
        "--context-tokens hold",
    )  # fmt: skip
    reading.add_argument(
        "--notes", type=float, default=0.0, metavar="SHARE",
        help="share of the rows about notes in plain prose, the others are about records: 0 (default) to 1",
    )  # fmt: skip
    reading.add_argument("--room", type=int, dest="context_tokens", help=argparse.SUPPRESS)  # the earlier name
    reading.add_argument(
        "--tokenizer", default="smollm2-135m-instruct", metavar="MODEL",
        help="the model whose tokens --context-tokens counts (default: %(default)s)",
    )  # fmt: skip
    reading.add_argument("--json", action="store_true", help="print the counts as one JSON document")
    reading.set_defaults(act=run_reading)
    mix = actions.add_parser("mix", help="join training sets: one file of conversations, one table of neighbors")
    mix.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder to write")
    mix.add_argument(
        "--part", type=Path, nargs=2, action="append", default=[], metavar=("DATA", "TABLE"),
        help="conversations and the folder of `camml neighbors`; twice or more",
    )  # fmt: skip
    mix.add_argument(
        "--told-part", type=Path, nargs=2, action="append", default=[], metavar=("DATA", "TABLE"),
        help="the same, less conversations with an answer that stands in none of their first three samples",
    )  # fmt: skip
    mix.add_argument("--json", action="store_true", help="print the counts as one JSON document")
    mix.set_defaults(act=run_mix)


def run_reading(args: argparse.Namespace) -> int:
    """Write reading data, and say what there is."""
    from camml import reading
    from camml.cli._output import print_json

    limit = None if args.context_tokens is None else reading.TextLimit(args.context_tokens, _tokens_of(args.tokenizer))
    texts = _passages(limit) if args.passages else None
    counts = reading.build(
        args.out,
        rows=args.rows,
        seed=args.seed,
        factpix=args.pictures,
        limit=None if texts else limit,
        texts=texts,
        notes_share=args.notes,
    )["counts"]
    if args.json:
        print_json({"path": str(args.out), **counts})
    else:
        print(describe(counts, args.out))
    return 0


def _tokens_of(model: str) -> Callable[[str], int]:
    """Return what counts the tokens of a text for a model."""
    from transformers import AutoTokenizer

    from camml import weights

    tokenizer = AutoTokenizer.from_pretrained(weights.folder(model))
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])


def _passages(limit: "TextLimit | None") -> "Shorten":
    """Return what gives the passages of texts that a question asks for, as when a model is asked.

    Raises:
      OptionError: no limit.
    """
    from camml import encoders
    from camml.features.passages import Budget, PassageChooser
    from camml.types import Neighbor, Query, Sample

    if limit is None:
        raise OptionError("--passages keeps as many as --context-tokens hold; give that too")
    chooser, budget = PassageChooser(encoders.load("mini")), Budget(limit.size, limit.length)

    def shorten(question: str, texts: Sequence[str]) -> list[str]:
        context = tuple(Neighbor(Sample(str(place), text), 1.0) for place, text in enumerate(texts))
        (chosen,) = chooser.choose([Query(question)], [context], budget)
        read = {neighbor.sample.id: neighbor.text for neighbor in chosen}
        return [read.get(neighbor.sample.id, "") for neighbor in context]

    return shorten


def run_mix(args: argparse.Namespace) -> int:
    """Join training sets, and say how large each is."""
    from camml import reading
    from camml.cli._output import print_json

    pairs = [[(data, table) for data, table in given] for given in (args.part, args.told_part)]
    sizes = reading.mix(args.out, *pairs)
    if args.json:
        print_json({"path": str(args.out), "rows": sum(sizes.values()), "parts": sizes})
    else:
        print(f"{args.out}: {sum(sizes.values())} rows: " + ", ".join(f"{n} of {name}" for name, n in sizes.items()))
    return 0


def describe(counts: dict[str, Any], out: Path) -> str:
    """Return what was written, in words."""
    forms = ", ".join(f"{count} {form}" for form, count in counts["forms"].items())
    return (
        f"{out}: {counts['rows']} rows ({counts['rows_with_pictures']} with a picture), {counts['samples']} samples, "
        f"{counts['questions']} questions: {forms}; {counts['yes']} yes, {counts['no']} no"
    )
