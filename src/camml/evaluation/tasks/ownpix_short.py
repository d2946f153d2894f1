"""OwnPix: questions about things of an invented collection; facts in short data sheets."""

from camml.evaluation.facts import own_split

TASK = own_split("OwnPix, short texts", "short")
