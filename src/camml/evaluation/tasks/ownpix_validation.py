"""OwnPix: questions about things of an invented collection; things kept for choosing settings."""

from camml.evaluation.facts import own_split

TASK = own_split("OwnPix, validation", "validation")
