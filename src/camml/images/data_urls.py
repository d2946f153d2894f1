"""Pictures inside addresses, as requests carry them."""

import base64
import io
from pathlib import Path

from PIL import Image

from camml.images import open_image


def data_url(picture: Path | Image.Image) -> str:
    """Return a picture as a PNG inside a URL.

    Raises:
      ImageError: it cannot be read.
    """
    buffer = io.BytesIO()
    open_image(picture).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
