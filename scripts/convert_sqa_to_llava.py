"""ScienceQA to LLaVA JSON, under the name and flags of the official script; the work is `camml convert scienceqa`.

    python scripts/convert_sqa_to_llava.py convert_to_llava \
        --base-dir ScienceQA/data/scienceqa --prompt-format QCM-LEPA --split train
"""

import sys

from camml.cli import main

if __name__ == "__main__":
    task, *flags = sys.argv[1:] or ["--help"]
    if task != "convert_to_llava":
        print(__doc__, file=sys.stderr)
        sys.exit(0 if task in ("-h", "--help") else 2)
    # The official script takes --base_dir and --prompt_format, too.
    flags = [flag.replace("_", "-", 1) if flag.startswith(("--base_", "--prompt_")) else flag for flag in flags]
    sys.exit(main(["convert", "scienceqa", *flags]))
