"""The command of the paper's repository, by its name and flags: `python scripts/run_camml.py --query Q --image-file F`.

It is `camml ask`; without `--store` it looks for the published LLaVA-1.5-665K index where the paper keeps it.
"""

import argparse
import sys
from pathlib import Path

from camml.cli import main

PUBLISHED = (Path("data/llava_665k_vision_flatIP.index"), Path("data/llava_665k_memory_metadata.json"))


def build_arguments() -> list[str]:
    """The arguments of `camml ask` for those given here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--query", required=True, help="the question")
    parser.add_argument("--image-file", help="the picture it is about, a file or an address")
    parser.add_argument("--model-path", help="the model's folder")
    parser.add_argument("--store", help="a datastore, or INDEX_FILE:DATA_JSON")
    args, others = parser.parse_known_args()
    store = args.store or (":".join(map(str, PUBLISHED)) if all(file.is_file() for file in PUBLISHED) else None)
    given = {"--image": args.image_file, "--model": args.model_path, "--store": store}
    return ["ask", args.query, *(word for flag, value in given.items() if value for word in (flag, value)), *others]


if __name__ == "__main__":
    sys.exit(main(build_arguments()))
