"""Pictures in requests: data URLs, addresses, uploads."""

from PIL import Image

from camml.errors import ImageError
from camml.images import format_of, open_image
from camml.images.data_urls import bytes_in, is_data_url
from camml.serving.fetching import Fetcher
from camml.serving.settings import Settings


class Pictures:
    """Opens what a request holds, within the limits of the server."""

    def __init__(self, settings: Settings, fetcher: Fetcher | None = None) -> None:
        self._settings = settings
        self._fetcher = fetcher or Fetcher(settings.max_body)

    def open(self, url: str) -> Image.Image:
        """Return the picture in a data URL, or at an http(s) address where these are allowed.

        Raises:
          ImageError: another kind of address, or no picture that can be used.
        """
        return self.decode(self.read(url))

    def read(self, url: str) -> bytes:
        """Return the bytes that `open` decodes."""
        if is_data_url(url):
            return bytes_in(url)
        if not url.lower().startswith(("http://", "https://")):
            raise ImageError(f"image_url {url[:40]!r} is neither a data URL nor an http(s) address")
        if not self._settings.allow_urls:
            raise ImageError("this server does not fetch pictures from addresses; send the picture as a data URL")
        return self._fetcher.fetch(url)

    def decode(self, data: bytes) -> Image.Image:
        """Return the picture in the bytes of an image file, shrunk to the server's limit.

        Raises:
          ImageError: it is none, is damaged, or has too many pixels.
        """
        return open_image(data, max_side=self._settings.max_side, max_pixels=self._settings.max_pixels)


def suffix(data: bytes) -> str:
    """Return the usual ending of the name of such an image file."""
    return f".{format_of(data).lower()}"
