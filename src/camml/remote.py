"""Addresses of object storage (s3://, gs://, ...), through fsspec; which packages that takes depends on the scheme."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from camml.errors import CaMMLError, OptionError


def is_address(text: object) -> bool:
    """Return True if `text` is an address such as s3://bucket/folder, and not a path."""
    return isinstance(text, str) and "://" in text


def file_system(address: str) -> tuple[Any, str]:
    """Return the fsspec file system of an address, and its path in it.

    Raises:
      OptionError: no file system of that scheme is known, its package is not installed, or it cannot be had so.
    """
    import fsspec

    scheme = address.partition("://")[0]
    try:
        system, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        remedy = "pip install 'camml[remote]'" if scheme == "s3" else f"install the package of fsspec for {scheme}"
        raise OptionError(f"{address}: needs more packages ({error.name or error}): {remedy}") from error
    except Exception as error:  # some connect at once, or want what no address says: their errors are of any kind
        raise OptionError(f"{address}: {_line(error)}; check the address") from error
    system.invalidate_cache()  # of listings: other machines write there, too
    return system, str(path)


@contextmanager
def storage_errors(address: str, kind: type[CaMMLError]) -> Iterator[None]:
    """Turn what a file system says about `address` into an error of `kind`.

    Packages of file systems have errors of their own besides OSError, so any error counts that is not ours.
    """
    try:
        yield
    except CaMMLError:
        raise
    except FileNotFoundError as error:
        raise kind(f"{address}: there is no such object; check the address") from error
    except Exception as error:
        raise kind(f"{address}: {_line(error)}; check the address, the credentials and the network") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
