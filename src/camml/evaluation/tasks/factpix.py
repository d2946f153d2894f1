"""FactPix: knowledge questions about pictures of classes that training does not have."""

from camml.evaluation.facts import split

TASKS = {
    "factpix": split("FactPix", "heldout"),
    "factpix_late": split("FactPix late knowledge", "late"),  # facts that only samples added afterwards hold
    "factpix_several": split("FactPix, several samples", "several"),  # about several prints of a picture
    "factpix_style": split("FactPix style", "style"),  # drawing styles that occur nowhere else
    "factpix_validation": split("FactPix validation", "validation"),  # classes kept for choosing settings
}
