"""The command of the paper's repository, by its flags: `python scripts/run_camml.py --query Q --image-file F`.

It is `camml ask` with the original's model, `checkpoints/camml-7b`, and samples, the published LLaVA-1.5-665K index. It
stops and says so where one is not there. Other flags are those of `camml ask`.
"""

import sys
from argparse import ArgumentParser
from argparse import RawDescriptionHelpFormatter as Raw
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from published import KINDS

from camml.cli import Parser, main

MODELS = (Path("checkpoints/camml-7b"), Path("checkpoints/camml_7b"))
"""The original's default, and what its training script writes."""

WORDINGS = {"vicuna_v1": "official"}
"""Prompt styles by the original's names."""

SHOTS, LONGEST = "3", "1024"
"""The original's own defaults."""


def build_arguments(argv: list[str]) -> list[str]:
    """Return the arguments of `camml ask` for those given here; stop where model or samples are not there."""
    parser = Parser("run_camml.py", description=__doc__, formatter_class=Raw, allow_abbrev=False)
    parser.add_argument("--query", nargs="+", required=True, help="the question")
    parser.add_argument("--image-file", "--image", help="the picture it is about, a file or an address")
    parser.add_argument("--model-path", "--model", help=f"the model's folder or name ({MODELS[0]})")
    parser.add_argument("--model-base", help="accepted if it is not given: models here are whole")
    parser.add_argument("--conv-mode", help=f"the wording: {', '.join(WORDINGS)}, or one of `camml ask --prompt-style`")
    parser.add_argument("--shots", default=SHOTS, help="samples to answer from (%(default)s)")
    parser.add_argument("--store", help="a datastore, or INDEX_FILE:DATA_JSON; none: answer without samples")
    args, others = parser.parse_known_args(argv)
    if args.model_base:
        parser.error(f"--model-base {args.model_base}: make a whole model of both first, with `camml merge RUN OUT`")
    given = {
        "--image": args.image_file,
        "--model": args.model_path or find_model(parser),
        "--store": None if args.store == "none" else args.store or find_store(parser, others),
        "--shots": None if args.store == "none" or "--context" in others else args.shots,
        "--prompt-style": args.conv_mode and WORDINGS.get(args.conv_mode, args.conv_mode),
        "--max-new-tokens": None if "--max-new-tokens" in others else LONGEST,
    }
    flags = [word for flag, value in given.items() if value for word in (flag, value)]
    return ["ask", *flags, *others, "--", " ".join(args.query)]


def find_model(parser: ArgumentParser) -> str:
    """Return the original's default model; stop where it is not there."""
    place = next((place for place in MODELS if place.is_dir()), None)
    if place is None:
        parser.error(
            f"no model at {' or '.join(map(str, MODELS))}: put the checkpoint there, or name another model with "
            "--model-path"
        )
    return str(place)


def find_store(parser: ArgumentParser, others: list[str]) -> str | None:
    """Return the published samples; stop where a file of them is not there."""
    if "--context" in others:
        return None
    store = KINDS["665k"].store
    missing = [name for name in store.split(":") if not Path(name).is_file()]
    if missing:
        parser.error(
            f"no samples to answer from: {' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} not there; put "
            "the published index and JSON there, make your own with scripts/retriever/, or give --store DIR (or none)"
        )
    return store


if __name__ == "__main__":
    sys.exit(main(build_arguments(sys.argv[1:])))
