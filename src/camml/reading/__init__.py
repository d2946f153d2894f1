"""Reading data to train on: invented records in many forms with questions that only reading answers.

`build` writes it to a folder, `mix` joins it with other training data. The words are in `words/`.
"""

from camml.reading.excerpts import Shorten
from camml.reading.generator import TextLimit, build
from camml.reading.mixing import mix

__all__ = ["Shorten", "TextLimit", "build", "mix"]
