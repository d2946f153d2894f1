"""FactPix, this project's own benchmark: knowledge questions about pictures, built from public packages.

`build` writes it to a folder. The topics are in `topics/`, their words in `words/`.
"""

from camml.factpix.benchmark import build

__all__ = ["build"]
