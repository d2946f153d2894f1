"""Permissions: API keys, and addresses of pictures that carry their own permission."""

import hmac
import ipaddress
import logging
import os
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode

from camml.serving.gate import RateLimit
from camml.serving.problems import ApiError

OPEN = frozenset({"/", "/health", "/ready", "/openapi.json", "/favicon.ico"})
"""What everybody may read; so is everything below /page/."""
THUMBNAIL = re.compile(r"/v1/stores/[A-Za-z0-9._-]+/thumbnail")
"""The paths of thumbnails, and no others: `<img>` cannot send a key, so their addresses carry a signature."""
LIFETIME = 24 * 3600
"""Seconds that the address of a thumbnail is good for, at least; twice that at most."""
WRONG_KEYS = 20
"""Wrong keys that an address may try at once, and in a minute."""
KNOWN = 10_000
"""Keys that are remembered to have come from an address, so that others there cannot lock them out."""
SECRET = "thumbnails.secret"

logger = logging.getLogger("camml.serving")


class Access:
    """Knows the API keys; without any, everything is allowed.

    Args:
      keys: a request needs one of them.
      secret: what signatures follow from, besides the keys, so that they end with these; random where none is given.
      names: what the owners of keys are called in the log.
    """

    def __init__(
        self, keys: Sequence[str], secret: bytes | None = None, names: Mapping[str, str] | None = None
    ) -> None:
        self._digests = {sha256(key.encode()).digest(): (names or {}).get(key, "") for key in keys}
        secret = secret or secrets.token_bytes(32)
        self._secret = hmac.digest(secret, b"camml thumbnails" + b"".join(sorted(self._digests)), "sha256")
        self._wrong = RateLimit(WRONG_KEYS, "wrong keys")
        self._known: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    @property
    def is_open(self) -> bool:
        """There are no keys."""
        return not self._digests

    def knows(self, authorization: str) -> bool:
        """Return whether a header `Authorization` holds one of the keys; the time it takes tells nothing of them."""
        return self._find(authorization) is not None

    def enter(self, authorization: str, client: str) -> tuple[str, str]:
        """Return a name for whoever has a key in the header: one for counting, and one for the log.

        Args:
          client: the address, as `place_of` gives it.

        Raises:
          ApiError: the key is wrong or missing, or too many wrong ones have come from that address.
        """
        digest = sha256(_key_in(authorization)).digest()
        known = (client, digest) in self._known
        if authorization and not known:
            self._wrong.check(client)
        right = self._find(authorization)
        if right is None:
            if authorization:
                self._wrong.take(client)
            reason = "the API key is wrong" if authorization else "this server needs an API key"
            raise ApiError(
                401, f"{reason}; send the header 'Authorization: Bearer KEY'", "invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        self._known[client, digest] = None
        self._known.move_to_end((client, digest))
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return right.hex(), self._digests[right] or right.hex()[:8]

    def needs_key(self, method: str, path: str) -> bool:
        """Return whether a request needs a key in its header."""
        if self.is_open:
            return False
        reads = method in ("GET", "HEAD")
        return not (reads and (path in OPEN or path.startswith("/page/") or self.signs(path)))

    def signs(self, path: str) -> bool:
        """Return whether addresses of pictures carry a signature: where there are keys."""
        return not self.is_open and THUMBNAIL.fullmatch(path) is not None

    def thumbnail_query(self, store: str, sample_id: str) -> str:
        """Return the query string that lets everybody see one thumbnail for a while."""
        if self.is_open:
            return urlencode({"id": sample_id})
        # the same for a whole day, so that browsers can keep the picture
        expires = (int(time.time()) // LIFETIME + 2) * LIFETIME
        return urlencode({"id": sample_id, "expires": expires, "token": self._sign(store, sample_id, expires)})

    def may_see(self, store: str, sample_id: str, expires: int, token: str) -> bool:
        """Return whether the signature of a thumbnail's address is ours, and not too old."""
        right = hmac.compare_digest(self._sign(store, sample_id, expires).encode(), token.encode("utf-8", "replace"))
        return self.is_open or (right and time.time() < expires)

    def _find(self, authorization: str) -> bytes | None:
        """Return the digest of the key in a header, None where it is none of ours; every one is compared."""
        kind = authorization.partition(" ")[0]
        digest = sha256(_key_in(authorization)).digest()
        matches = [known for known in self._digests if hmac.compare_digest(digest, known)]
        return matches[0] if matches and kind.lower() == "bearer" else None

    def _sign(self, store: str, sample_id: str, expires: int) -> str:
        text = "\n".join([store, str(expires), sample_id])
        return hmac.new(self._secret, text.encode("utf-8", "surrogatepass"), sha256).hexdigest()[:32]


def place_of(client: str) -> str:
    """Return what clients are told apart by: the address, of IPv6 the network that one customer has."""
    try:
        address = ipaddress.ip_address(client.split("%")[0])
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(address), 64), strict=False))
    return str(address)


def stored_secret(folder: Path | None) -> bytes | None:
    """Return the random secret in a folder, made at the first call, so that addresses outlive a restart.

    None where there is no folder, or it cannot be written: then addresses end with the process.
    """
    if folder is None:
        return None
    file, made = folder / SECRET, folder / f"{SECRET}.{os.getpid()}.unfinished"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(secrets.token_bytes(32))
                stream.flush()
                os.fsync(stream.fileno())
            with suppress(FileExistsError):  # unlike a renaming this leaves what another process has just put there
                os.link(made, file)
            made.unlink()
        secret = file.read_bytes()
    except OSError as error:
        logger.warning("the secret of thumbnails is not kept (%s): their addresses end with this process", error)
        return None
    return secret if len(secret) >= 32 else None


def _key_in(authorization: str) -> bytes:
    return authorization.partition(" ")[2].strip().encode("utf-8", "surrogateescape")
