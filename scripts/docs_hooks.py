"""Hooks of the documentation site: pages from the root of the repository, and links that leave the site."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
BORROWED = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files in the root that are pages of the site."""
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """Leave pages out of the navigation that are not there."""
    pages = {path.relative_to(config.docs_dir).as_posix() for path in Path(config.docs_dir).rglob("*.md")}
    pages |= {page for file, page in BORROWED.items() if (ROOT / file).is_file()}
    config.nav = _present(config.nav, pages)
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie in the root of the repository."""
    for file, page in BORROWED.items():
        if (ROOT / file).is_file():
            files.append(File.generated(config, page, content=(ROOT / file).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links to files outside the site into their paths in the repository, which must exist."""
    source = page.file.src_uri
    borrowed = {name: file for file, name in BORROWED.items()}
    folder = posixpath.dirname(borrowed.get(source, f"docs/{source}"))

    def replaced(match: re.Match[str]) -> str:
        label, target, anchor = match.group(1), match.group(2), match.group(3) or ""
        path = posixpath.normpath(posixpath.join(folder, target))
        if path in BORROWED:
            return f"[{label}]({_relative(BORROWED[path], source)}{anchor})"
        if path.startswith("docs/"):
            return f"[{label}]({_relative(path.removeprefix('docs/'), source)}{anchor})"
        if not (ROOT / path).exists():
            return match.group()  # the check of links names it
        address = f"{config.repo_url.rstrip('/')}/blob/main/{path}" if config.repo_url else ""
        return f"[{label}]({address}{anchor})" if address else f"{label} (`{path}`)"

    return LINK.sub(replaced, markdown)


def _present(nav: list[Any], pages: set[str]) -> list[Any]:
    """Return the entries whose pages are there; sections without any are left out."""
    entries: list[Any] = []
    for entry in nav:
        [(title, target)] = entry.items()
        kept = _present(target, pages) if isinstance(target, list) else target if target in pages else None
        if kept:
            entries.append({title: kept})
    return entries


def _relative(target: str, source: str) -> str:
    return posixpath.relpath(target, posixpath.dirname(source) or ".")
