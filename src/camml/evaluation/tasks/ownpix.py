"""OwnPix: questions about things of an invented collection that no training touches."""

from camml.evaluation.facts import own_split

TASKS = {
    "ownpix_short": own_split("OwnPix, short texts", "short"),
    "ownpix_long": own_split("OwnPix, long texts", "long"),  # of 100 to 300 words
    "ownpix_unanswerable": own_split("OwnPix, questions without an answer", "unanswerable"),
    "ownpix_validation": own_split("OwnPix, validation", "validation"),  # things kept for choosing settings
}
