"""The table of families in docs/models.md, made from what the tests of its columns gave.

A test of a column is marked with its letter and gets the family as an argument; what it gives is `yes`, or what it said
with `outcome`. The table is written by

    make families
"""

from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs" / "models.md"
COLUMNS = "abcdef"
BEGIN, END = "<!-- families: written by tests/family_table.py -->\n", "<!-- end of families -->\n"
RESULTS = pytest.StashKey[dict[tuple[str, str], str]]()

NOTES = {
    "llava_next": "tiles of 576, and ends of lines",
    "llava_onevision": "tiles of 27 x 27 patches",
    "qwen2_vl": "positions of three axes",
    "qwen2_5_vl": "positions of three axes",
    "qwen3_vl": "features go into the first layers as well; samples use the last ones",
    "smolvlm": "tiles with names",
    "idefics3": "tiles with names",
    "paligemma": "takes no prompt without a picture; a row sees itself both ways, so training would show the answers",
    "mistral3": "and ends of lines",
    "glm4v": "positions of three axes",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the table."""
    parser.addoption("--write-families", action="store_true", help="write the table of docs/models.md from the results")


def pytest_configure(config: pytest.Config) -> None:
    """Make a place for the results."""
    config.stash[RESULTS] = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    """Remember what a test of a column gave: one that fails in any part makes the cell `no`."""
    report = (yield).get_result()
    marker = item.get_closest_marker("column")
    if marker is None or (report.when != "call" and not report.failed):
        return
    cell = (item.callspec.params["family"], marker.args[0])
    result = dict(item.user_properties).get("outcome", "yes") if report.passed else "no"
    results = item.config.stash[RESULTS]
    results[cell] = "no" if "no" in (result, results.get(cell)) else result


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the table where that was asked for."""
    if not session.config.getoption("--write-families"):
        return
    results = session.config.stash[RESULTS]
    if missing := [cell for cell in cells() if cell not in results]:
        pytest.exit(f"the table was not written: nothing was run for {missing[:3]}, {len(missing)} in all", 1)
    before, _, after = parts()
    DOCS.write_text(before + BEGIN + table(results) + END + after, "utf-8")


def cells() -> list[tuple[str, str]]:
    """Return family and column of every cell."""
    from tests import families

    return [(family, column) for family in families._FAMILIES for column in COLUMNS]


def parts() -> tuple[str, str, str]:
    """Return the page before the table, the table, and the page after it."""
    before, _, rest = DOCS.read_text("utf-8").partition(BEGIN)
    committed, _, after = rest.partition(END)
    return before, committed, after


def committed_results() -> dict[tuple[str, str], str]:
    """Return what the committed table says of each cell."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in parts()[1].splitlines()[2:]]
    return {(row[0], column): row[1 + number] for row in rows for number, column in enumerate(COLUMNS)}


def table(results: dict[tuple[str, str], str]) -> str:
    """Return the table for results."""
    lines = [f"| family | {' | '.join(COLUMNS)} | tokens a picture | notes |", f"|{'---|' * (len(COLUMNS) + 3)}"]
    for family in dict(cells()):
        row = [family, *(results[family, column] for column in COLUMNS), tokens(family), NOTES.get(family, "")]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def tokens(family: str) -> str:
    """Return what one picture costs with the family's usual configuration."""
    import transformers as hf

    if family == "llava":
        return str(hf.LlavaConfig().image_seq_length)
    if family == "gemma3":
        return str(hf.Gemma3Config().mm_tokens_per_image)
    if family == "internvl":
        return f"{hf.InternVLConfig().image_seq_length} a tile"
    if family == "paligemma":
        vision = hf.PaliGemmaConfig().vision_config
        return str((vision.image_size // vision.patch_size) ** 2)
    if family == "mistral3":
        config = hf.Mistral3Config()
        side = config.vision_config.patch_size * config.spatial_merge_size
        return f"one for {side} x {side} pixels"
    kinds = {"qwen2_vl": "Qwen2VL", "qwen2_5_vl": "Qwen2_5_VL", "qwen3_vl": "Qwen3VL", "glm4v": "Glm4v"}
    if family in kinds:
        vision = getattr(hf, f"{kinds[family]}Config")().vision_config
        side = vision.patch_size * vision.spatial_merge_size
        return f"one for {side} x {side} pixels"
    return "by size of picture" if family == "deepseek_vl" else "by shape"
