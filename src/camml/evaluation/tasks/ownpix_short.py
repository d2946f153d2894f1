"""OwnPix: questions about things of an invented collection; facts in short data sheets."""

from camml.evaluation.owned import split

TASK = split("OwnPix, short texts", "short")
