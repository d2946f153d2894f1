"""OwnPix: questions about things of an invented collection; facts in texts of 100 to 300 words."""

from camml.evaluation.facts import own_split

TASK = own_split("OwnPix, long texts", "long")
