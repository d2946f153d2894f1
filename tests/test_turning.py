"""Another look at a question's picture, turned a little to either side."""

import numpy as np
import pytest
from PIL import Image

from camml.turning import LONGEST, TURNS, UNDECIDED, is_undecided, turned


@pytest.mark.parametrize(
    ("likeness", "undecided"),
    [((), False), ((0.9,), False), ((0.9, 0.85), True), ((0.9, 0.9 - UNDECIDED - 0.01), False),
     ((0.9, 0.9), False), ((0.9, 0.9 - 1e-7), False), ((0.9, 0.9 - 1e-7, 0.85), True), ((0.2, 0.9, 0.85), True)],
)  # fmt: skip
def test_several_pictures_that_look_about_alike(likeness: tuple[float, ...], undecided: bool) -> None:
    assert is_undecided(likeness) is undecided


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_a_picture_is_turned_on_its_own_ground(mode: str) -> None:
    image = Image.new("RGB", (40, 30), (10, 200, 30))
    image.paste((250, 250, 250), (15, 10, 25, 20))
    views = turned(image.convert(mode))
    assert [view.size for view in views] == [(40, 30)] * len(TURNS)
    ground = np.asarray(image.convert(mode).convert("RGB"))[0, 0].astype(int)
    for view in views:
        assert np.abs(np.asarray(view)[0, 0].astype(int) - ground).max() <= 3
    assert views[0].tobytes() != views[1].tobytes() != image.tobytes()


def test_a_large_picture_is_made_smaller_before_it_is_turned() -> None:
    assert [view.size for view in turned(Image.new("RGB", (4 * LONGEST, 3 * LONGEST)))] == [(640, 480)] * 2
