"""Give a packed model more context tokens: queries that look for the words behind those it has read so far.

python scripts/widen_context.py models/camml-mini OUT --queries 72 --image-size 126 --passages 72-144

For models that started by copying (`--perceiver_init copy --perceiver_run_on True --perceiver_seamless True`). Their
queries still are what that start gives them, which is checked; so new ones need no training. A token of the first
half comes by a patch of an image, so `--image-size` must give as many patches. Further training (`--pretrain_lora`)
takes the new sizes: `--perceiver_querys`, `--image_size`, and `--image_pooling`, the patches a side.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save

from camml.answering import check_passages
from camml.durable import disk_errors
from camml.errors import CaMMLError, ModelFolderError, OptionError
from camml.model.folder import ADDED_FILE, PACKED, new_folder
from camml.training.copying import run_on_queries

PATCH = 14
"""Pixels a side of a patch of DINOv2."""

DRIFT = 0.02
"""Largest difference that training may have made to a query whose waves have an amplitude of 1."""

HALVES = ("context_perceiver.vision_queries", "context_perceiver.text_queries")


def widen(source: Path, out: Path, queries: int, image_size: int, passages: str | None) -> None:
    """Write the packed model in `source` to the new folder `out`, with 2 `queries` context tokens.

    Raises:
      OptionError: the sizes do not fit each other, or `out` is there.
      ModelFolderError: `source` is no packed model that copies words.
      DiskError: the disk is full or not writable; nothing is left behind.
    """
    if not (source / PACKED).is_file():
        raise ModelFolderError(f"{source} is no packed model: there is no {PACKED}")
    if out.exists():
        raise OptionError(f"{out} exists; give a new folder")
    check_passages(passages or "auto")
    side = image_size // PATCH
    if image_size % PATCH or side**2 < queries:
        raise OptionError(f"--image-size {image_size} gives {side**2} patches; {queries} queries need as many or more")
    about = json.loads((source / PACKED).read_text("utf-8"))
    sizes, tensors = about["sizes"], load_file(source / ADDED_FILE)
    if not sizes.get("perceiver_seamless"):
        raise ModelFolderError(f"{source} was not trained with --perceiver_seamless; only such contexts can be widened")
    hidden, heads, before = (sizes[f"perceiver_{name}"] for name in ("hidden_size", "heads", "queries"))
    for half, name in enumerate(HALVES):
        drift = (tensors[name].float() - run_on_queries(hidden, heads, half * before, before)).abs().max().item()
        if drift > DRIFT:
            raise ModelFolderError(f"{source} no longer copies words: {name} differs by {drift:.3f} from such queries")
        new = run_on_queries(hidden, heads, half * queries, queries)
        tensors[name] = new.to(tensors[name].dtype)
    sizes |= {"perceiver_queries": queries, "image_size": image_size, "image_pooling": side}
    if passages:
        about["retrieval"]["passages"] = passages
    with safe_open(source / ADDED_FILE, "pt") as file:
        metadata = file.metadata()
    with disk_errors(out), new_folder(out) as unfinished:
        shutil.copytree(source, unfinished, dirs_exist_ok=True)
        (unfinished / ADDED_FILE).write_bytes(save(tensors, metadata))
        (unfinished / PACKED).write_text(json.dumps(about, indent=2) + "\n", "utf-8")


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--queries", type=int, required=True, help="M; there are twice as many context tokens")
    parser.add_argument("--image-size", type=int, required=True, help="side in pixels of the images the tower gets")
    parser.add_argument("--passages", help="what the model wants to read of its samples, see camml ask --help")
    args = parser.parse_args()
    try:
        widen(args.model, args.out, args.queries, args.image_size, args.passages)
    except CaMMLError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
