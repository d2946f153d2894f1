"""The published figures are those of the papers, and every task has its own."""

import pytest

from camml.evaluation import task as tasks
from camml.evaluation.report.published import MODELS, measures


def test_the_headline_comes_first_and_further_numbers_follow() -> None:
    result = measures("scienceqa_ft")
    assert [(item.name, item.headline, item.figures["CaMML-7B"]) for item in result] == [
        ("accuracy", True, 91.32), ("image_accuracy", False, 89.24), ("text_accuracy", False, 93.21)
    ]  # fmt: skip


@pytest.mark.parametrize("name", tasks.names())
def test_every_figure_is_of_a_known_model_and_a_number_of_the_task(name: str) -> None:
    for measure in measures(name):
        assert measure.figures.keys() <= MODELS.keys()
        assert measure.points in (1.0, 100.0)
    assert measures(name)[0].name == tasks.find(name).headline
