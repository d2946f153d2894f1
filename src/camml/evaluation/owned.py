"""The tasks of OwnPix: things of an invented collection, which no training touches."""

from camml.evaluation import facts
from camml.evaluation.metrics import ownpix
from camml.evaluation.task import Task

SOURCE = "`camml bench-data build --set ownpix --out data/ownpix`"


def split(title: str, name: str) -> Task:
    """Return the task that asks the questions of one file of OwnPix."""
    return facts.split(title, name, folder="ownpix", source=SOURCE, metric=ownpix.measure)
