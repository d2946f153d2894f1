"""Run folders to a report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from camml.errors import OptionError
from camml.evaluation.files import write_bytes
from camml.evaluation.report.board_page import board_page
from camml.evaluation.report.leaderboard import markdown, rankings
from camml.evaluation.report.page import write_run
from camml.evaluation.report.pictures import Pictures
from camml.evaluation.report.rendering import GENERATOR, asset
from camml.evaluation.report.runs import find_runs
from camml.evaluation.report.samples import Stores
from camml.progress import Progress


@dataclass(frozen=True, slots=True)
class Report:
    """The result of writing a report.

    Attributes:
      page: the leaderboard, to be opened in a browser.
      runs, questions: how many it shows.
      unfinished: folders of runs that are not finished and left out.
      lost: pictures that are not shown, with the reason.
    """

    page: Path
    runs: int
    questions: int
    unfinished: tuple[Path, ...]
    lost: dict[str, str]


def write_report(
    folders: Sequence[Path],
    out: Path,
    *,
    stores: Sequence[str] = (),
    data: Path = Path("data/eval"),
    title: str = "CaMML evaluation",
    progress: Progress = lambda *_: None,
) -> Report:
    """Write a report of the runs in these folders and below them.

    Args:
      folders: that `camml eval run` wrote, or above such.
      out: where the report goes; what an earlier report has there of other runs stays.
      stores: the datastores that the runs retrieved from, so that samples are shown with text and picture.
      data: the folder of all tasks' data, for pictures that the logs do not lead to.
      title: the heading.
      progress: called with the number of runs written so far, and of all.
    Raises:
      SampleError: no finished run, or one that cannot be read.
      StoreNotFoundError: no such datastore.
      OptionError: `out` holds pages of something else.
      DiskError: `out` cannot be written.
    """
    _refuse_strangers(out)
    runs, unfinished = find_runs(folders)
    opened, pictures = Stores(stores), Pictures(out / "pictures")
    wrong: dict[str, int] = {}
    for place, run in enumerate(runs):
        progress(place, len(runs))
        wrong |= write_run(run, out, opened, data, pictures)
    for name in ("report.css", "report.js"):
        write_bytes(out / "assets" / name, asset(name).encode())
    tables = rankings(runs)
    write_bytes(out / "leaderboard.md", markdown(title, tables, runs).encode("utf-8", "replace"))
    write_bytes(out / "index.html", board_page(title, tables, runs, wrong))
    progress(len(runs), len(runs))
    questions = sum(run.questions for run in runs)
    return Report(out / "index.html", len(runs), questions, tuple(unfinished), pictures.lost)


def _refuse_strangers(out: Path) -> None:
    index = out / "index.html"
    if index.is_file() and GENERATOR not in index.read_text(encoding="utf-8", errors="replace")[:2000]:
        raise OptionError(f"{index} is not a page of a report and would be overwritten; give another --out")
