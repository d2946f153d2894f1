"""OwnPix, a second benchmark: things of an invented collection, as a user's own would be; no training touches it.

`build` writes it to a folder. The words are in `words/`, the pictures come from packages that FactPix does not use.
"""

from camml.ownpix.benchmark import build

__all__ = ["build"]
