"""The original's command line, by its name and flags: it is `scripts/run_camml.py`.

python camml/eval/run_camml.py --query "What is this?" --image-file picture.jpg
"""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).resolve().parents[2] / "scripts" / "run_camml.py"), run_name="__main__")
