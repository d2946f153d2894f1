"""OwnPix: questions about things of an invented collection; facts in texts of 100 to 300 words."""

from camml.evaluation.owned import split

TASK = split("OwnPix, long texts", "long")
