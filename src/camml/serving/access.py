"""Who may do what: API keys, and addresses of pictures that carry their own permission."""

import hmac
import time
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import urlencode

OPEN = frozenset({"/", "/health", "/ready", "/openapi.json", "/favicon.ico"})
"""What everybody may read; so is everything below /page/."""
THUMBNAIL = "/thumbnail"
"""The end of the path of thumbnails: `<img>` cannot send a key, so their addresses carry a signature."""
LIFETIME = 24 * 3600
"""Seconds that the address of a thumbnail is good for, at least; twice that at most."""


class Access:
    """Knows the API keys; without any, everything is allowed."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [sha256(key.encode()).digest() for key in keys]
        # follows from the keys, so that addresses outlive a restart and end with the keys
        self._secret = sha256(b"camml thumbnails" + b"".join(sorted(self._digests))).digest()

    @property
    def is_open(self) -> bool:
        """There are no keys."""
        return not self._digests

    def knows(self, authorization: str) -> bool:
        """The header `Authorization` holds one of the keys; how long this takes says nothing about them."""
        kind, _, key = authorization.partition(" ")
        digest = sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(matches) and kind.lower() == "bearer"

    def needs_key(self, method: str, path: str) -> bool:
        """A request needs a key in its header."""
        if self.is_open or (method == "GET" and path.endswith(THUMBNAIL)):
            return False
        return not (method in ("GET", "HEAD") and (path in OPEN or path.startswith("/page/")))

    def thumbnail_query(self, store: str, sample_id: str) -> str:
        """The query string that lets everybody see one thumbnail for a while."""
        if self.is_open:
            return urlencode({"id": sample_id})
        # the same for a whole day, so that browsers can keep the picture
        expires = (int(time.time()) // LIFETIME + 2) * LIFETIME
        return urlencode({"id": sample_id, "expires": expires, "token": self._sign(store, sample_id, expires)})

    def may_see(self, store: str, sample_id: str, expires: int, token: str) -> bool:
        """The signature of a thumbnail's address is ours, and not too old."""
        right = hmac.compare_digest(self._sign(store, sample_id, expires).encode(), token.encode("utf-8", "replace"))
        return self.is_open or (right and time.time() < expires)

    def _sign(self, store: str, sample_id: str, expires: int) -> str:
        text = "\n".join([store, str(expires), sample_id])
        return hmac.new(self._secret, text.encode("utf-8", "surrogatepass"), sha256).hexdigest()[:32]
