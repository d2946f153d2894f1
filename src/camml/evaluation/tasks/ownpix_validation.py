"""OwnPix: questions about things of an invented collection; things kept for choosing settings."""

from camml.evaluation.owned import split

TASK = split("OwnPix, validation", "validation")
