"""The pages of a report are Jinja2 templates, which escape every text that is put into them."""

from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from camml.evaluation.report.leaderboard import asked, number, spread
from camml.evaluation.report.runs import Run

GENERATOR = "camml eval report"
"""A page with this in its head was written by `camml eval report`."""


def page(template: str, **values: object) -> bytes:
    """Return a page.

    Args:
      template: a file in `templates/`.
      values: what it shows; `title` and `root`, the way from the page to the folder of the report, are in all of them.
    """
    text = environment().get_template(template).render(generator=GENERATOR, **values)
    return text.encode("utf-8", "replace")  # half a surrogate pair, as JSON may hold it, becomes a question mark


@cache
def environment() -> Environment:
    """Return the environment of the templates: text is escaped, and a name that is not given is an error."""
    made = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"asked": asked, "link": link, "number": number, "spread": spread}
    return made


def link(run: Run) -> str:
    """Return the address of a run's page, as seen from the leaderboard."""
    return f"runs/{run.place}/index.html"


def asset(name: str) -> str:
    """Return the text of a file in `assets/`."""
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")
