"""The original's training on ScienceQA, by its name and flags; the work is `camml train`.

torchrun --nproc_per_node=8 camml/train/train_camml_sqa.py --model_name_or_path ./checkpoints/vicuna-7b-v1.3 ...
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from published import train

if __name__ == "__main__":
    sys.exit(train("sqa", sys.argv[1:]))
