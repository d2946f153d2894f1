"""HTML that is escaped by construction: text becomes markup only through `element`."""

from html import escape
from importlib.resources import files
from string import Template

GENERATOR = "camml eval report"
"""By this in its head a page is known as ours."""

VOID = ("img", "input", "br")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, *children: str | None, **attributes: str | float | bool | None) -> Markup:
    """Return an element of HTML or SVG; children and attribute values that are not `Markup` are escaped.

    Args:
      name: of the element.
      children: None is left out.
      attributes: `class_` is `class`, `aria_label` is `aria-label`; None and False are left out, True has no value.
    """
    head = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    if name in VOID:
        return Markup(f"<{name}{head}>")
    return Markup(f"<{name}{head}>{joined(*children)}</{name}>")


def joined(*children: str | None) -> Markup:
    """Join the children, escaped where they are not `Markup`."""
    return Markup("".join(_escaped(child) for child in children if child is not None))


def document(title: str, root: str, body: Markup, scripts: tuple[str, ...] = ()) -> bytes:
    """Return a whole page.

    Args:
      title: of the window.
      root: the way from the page to the folder of the report.
      body: what it shows.
      scripts: beside the page, run before the report's own.
    """
    tags = joined(*(element("script", src=script, defer=True) for script in scripts))
    template = Template(asset("document.html"))
    text = template.substitute(title=escape(title), root=escape(root), generator=GENERATOR, scripts=tags, body=body)
    return text.encode("utf-8", "replace")  # half a surrogate pair, as JSON may hold it, becomes a question mark


def asset(name: str) -> str:
    """Return the text of a file in `assets/`."""
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def _attribute(key: str, value: str | float | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    if isinstance(value, bool):
        return f" {name}" if value else ""
    return f' {name}="{escape(str(value))}"'


def _escaped(text: str) -> str:
    return text if isinstance(text, Markup) else escape(text)
