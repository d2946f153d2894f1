"""`camml serve`: the API and the page, from one process."""

import argparse
import ipaddress
import os
import platform
import re
import signal
import socket
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camml import __version__, running
from camml.cli._answering import add_grounded, add_ranking, add_threshold, margin_of
from camml.cli._output import PASSAGES_HELP, json_value, key_values, numbers, quiet_unless_watched
from camml.errors import InputError, OptionError
from camml.packages import cache_dir
from camml.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from camml.serving.service import Service
    from camml.serving.settings import Settings

SUMMARY = "Answer questions over HTTP: an OpenAI-compatible API and a page, with the evidence."

KEYS = "CAMML_API_KEYS"
PATH = re.compile(r"^(~|\.\.?)/|\.(txt|keys?|list|conf|cfg|env|json|ya?ml|secrets?)$", re.IGNORECASE)
LOCAL = ("localhost", "127.0.0.1", "[::1]")

BACKLOG = 2048
"""Connections that wait to be accepted. Source: uvicorn's default."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="DIR", help="a model's folder or name (%(default)s)")
    parser.add_argument("--model-name", metavar="NAME", help="what clients call it (default: folder's name)")
    parser.add_argument(
        "--store", action="append", default=[], metavar="[NAME=]DIR",
        help="a datastore; repeatable, the first is used where a request names none",
    )  # fmt: skip
    parser.add_argument(
        "--store-images", action="append", default=[], metavar="[NAME=]DIR",
        help="where a datastore's pictures are, if not where it says; `none`: use a published pair without them",
    )  # fmt: skip
    parser.add_argument(
        "--examples",
        type=Path,
        metavar="FILE",
        help="questions that the page offers: samples whose texts are questions",
    )
    parser.add_argument(
        "--encoder",
        metavar="NAME",
        help="search with this encoder (the one that built the vectors) instead of the model's",
    )
    add_ranking(parser)
    add_threshold(parser)
    parser.add_argument("--read-only", action="store_true", help="samples can be neither added nor removed")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s: this machine only)")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="the port to listen on (%(default)s)")
    parser.add_argument("--engine", default="transformers", metavar="NAME", help="transformers or vllm (%(default)s)")
    parser.add_argument(
        "--engine-option", action="append", default=[], metavar="KEY=VALUE",
        help="a setting of the engine, such as device=cuda, dtype=bfloat16, slots=64; repeatable",
    )  # fmt: skip
    _add_access(parser)
    _add_limits(parser)


def _add_access(parser: argparse.ArgumentParser) -> None:
    access = parser.add_argument_group("who may use it")
    access.add_argument(
        "--api-keys", type=Path, metavar="FILE",
        help=f"keys, one a line, 'KEY  # NAME' for the log (or the keys themselves in ${KEYS}, separated by commas)",
    )  # fmt: skip
    access.add_argument("--no-keys", action="store_true", help="let everybody in who can reach --host")
    access.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="URL",
        help="web pages from there may use it, '*' for all; repeatable",
    )
    access.add_argument(
        "--allowed-host", action="append", default=[], metavar="NAME",
        help="a name it is asked by, where it is open to all (--no-keys); repeatable",
    )  # fmt: skip
    access.add_argument(
        "--trust-proxy", default="", metavar="ADDRESSES",
        help="proxies whose X-Forwarded-For is believed, separated by commas (default: none)",
    )  # fmt: skip
    access.add_argument("--public-url", default="", metavar="URL", help="how clients reach it, if through a proxy")
    access.add_argument("--allow-urls", action="store_true", help="fetch pictures from public http(s) addresses")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    limits = parser.add_argument_group("limits")
    for flag, default, text in (
        ("--max-new-tokens", 256, "of an answer, where the request does not say"),
        ("--max-waiting", 128, "answers that may wait for their turn; more are told to come back"),
        ("--rate-limit", 0, "requests a minute of each key; 0 for no limit"),
        ("--max-body-mb", 20, "of a request"),
        ("--max-megapixels", 25, "of a picture"),
        ("--drain-seconds", 30, "for answers under way when the server is stopped"),
    ):
        limits.add_argument(flag, type=int, default=default, metavar="N", help=f"{text} (%(default)s)")
    limits.add_argument(
        "--memory", default="", metavar="SIZE",
        help="for keys and values of answers, such as 4GB (default: half of what is free; of vLLM its own)",
    )  # fmt: skip
    parser.add_argument("--passages", metavar="auto|off|N|N-M|first:N", help=PASSAGES_HELP)
    add_grounded(parser)
    parser.add_argument("--log-content", action="store_true", help="write questions and answers to the log")


def run(args: argparse.Namespace) -> int:
    """Load, listen, and answer until told to stop."""
    settings = read_settings(args)
    listener = listen(args.host, args.port)
    try:
        import uvicorn

        from camml.serving import application, logs, scratch
        from camml.serving import server as serving
        from camml.serving.service import Service
    except ModuleNotFoundError as error:
        raise InputError(f"`camml serve` needs the package {error.name}: pip install 'camml[serve]'") from None
    quiet_unless_watched()
    service = Service.load(settings)
    logs.configure(settings.log_content)
    scratch.sweep()
    app = application.create(service, lambda: setattr(server, "should_exit", True))
    config = serving.config(app, drain_seconds=args.drain_seconds, trust_proxy=args.trust_proxy)
    server = uvicorn.Server(config)
    # uvicorn drains on this signal and raises it once more at the end; before it begins the signal ends it, too
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
    print(_greeting(service, listener), flush=True)
    with ExitStack() as inside:
        about = _running(service.settings, _address(listener))
        private = inside.enter_context(running.private_socket(about)) if about else None
        server.run(sockets=[listener, *filter(None, [private])])
    if service.dead:  # for what restarts servers on failure
        print("camml: the model has stopped; the log says why", file=sys.stderr)
    return int(service.dead)


def read_settings(args: argparse.Namespace) -> "Settings":
    """Return what the options say.

    Raises:
      OptionError: one is out of its range, or the server would be open to the network without anybody saying so.
    """
    from camml.serving.settings import Settings

    named = _keys(args.api_keys)
    keys = tuple(named)
    local = args.host in ("localhost", "127.0.0.1", "::1")
    if not keys and not local and not args.no_keys:
        raise OptionError(
            f"on {args.host} everybody in the network could use this server: give --api-keys FILE (or the keys in "
            f"${KEYS}), or say --no-keys"
        )
    _check_ranges(args)
    stores = _stores(args.store)
    engine_options = key_values(args.engine_option, "--engine-option")
    return Settings(
        model=args.model,
        model_name=args.model_name or "",
        engine=args.engine,
        engine_options={key: json_value(text) for key, text in engine_options.items()},
        stores=stores,
        encoder=args.encoder,
        weights=numbers(args.weights, "--weights"),
        rerank=args.rerank,
        min_score=args.min_score,
        fallback=args.fallback,
        margin=margin_of(args),
        store_images=_store_images(args.store_images, stores),
        read_only=args.read_only,
        api_keys=keys,
        allow_urls=args.allow_urls,
        cors_origins=tuple(args.cors_origin),
        key_names=named,
        state=cache_dir() / "serve",
        allowed_hosts=_hosts(args, bool(keys), local),
        public_url=args.public_url,
        max_new_tokens=args.max_new_tokens,
        passages=args.passages,
        grounded=args.grounded,
        memory=args.memory,
        max_body=args.max_body_mb * 2**20,
        max_pixels=args.max_megapixels * 1_000_000,
        max_waiting=args.max_waiting,
        rate_limit=args.rate_limit,
        log_content=args.log_content,
        examples=args.examples,
    )


def _check_ranges(args: argparse.Namespace) -> None:
    """Raise an OptionError if an option that is no setting of the service is out of its range."""
    if args.model_name is not None and not args.model_name.strip():
        raise OptionError("--model-name is empty; give a name, or leave it out for the folder's")
    if args.drain_seconds < 0:
        raise OptionError(f"--drain-seconds is {args.drain_seconds}; give 0 or more")
    for part in args.trust_proxy.split(",") if args.trust_proxy else ():
        try:
            if part.strip() != "*":
                ipaddress.ip_network(part.strip())
        except ValueError:
            raise OptionError(
                f"--trust-proxy {part.strip()!r} is not an address; give addresses in figures such as 127.0.0.1, "
                "networks such as 10.0.0.0/8, or * for every proxy, separated by commas"
            ) from None


def _hosts(args: argparse.Namespace, keys: bool, local: bool) -> tuple[str, ...]:
    """Return the names that the server answers to; all where a key is needed, since a web page has none."""
    from camml.serving.settings import host_of, name_of_host

    given = tuple(args.allowed_host)
    if keys:
        return given
    own = set[str]()
    for name in () if local else (socket.gethostname(), socket.getfqdn()):
        with suppress(OptionError):  # an odd one, which no client can send
            own.add(name_of_host(name))
    return (*LOCAL, *own, *given, *filter(None, [host_of(args.public_url)]))


def _keys(file: Path | None) -> dict[str, str]:
    """Return the API keys in a file with the names of their owners, or else in the environment.

    They are never given on the command line, where all users of the machine see them.

    Raises:
      OptionError: the file is not one of keys, or the environment has the path of a file instead of keys.
    """
    if file is None:
        keys = [key.strip() for key in os.environ.get(KEYS, "").split(",") if key.strip()]
        if any(map(_is_path, keys)):  # which others may guess; it is not shown, as it may be a key all the same
            raise OptionError(
                f"${KEYS} holds the keys themselves, separated by commas, and here it looks like the path of a file; "
                "give a file of keys as --api-keys FILE"
            )
        return dict.fromkeys(keys, "")
    from camml.serving.settings import SHORTEST_KEY, is_key

    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise OptionError(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8, one key a line") from None
    named: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if line and not line.startswith("#"):
            key, *name = re.split(r"\s+#\s*", line, maxsplit=1)
            if not is_key(key):
                reason = f"an API key needs at least {SHORTEST_KEY} printable ASCII characters"
                raise OptionError(f"{file}, line {number}: {reason}; the line is not shown here")
            named[key] = "".join(name)
    if not named:
        raise OptionError(f"{file} holds no API keys; write one a line")
    return named


def _is_path(key: str) -> bool:
    """Return whether a key is rather a path: something is there, or it begins or ends as paths do."""
    root = re.match(r"/[^/]+(?=/)", key)
    return os.path.exists(key) or bool(PATH.search(key) or (root and os.path.isdir(root[0])))


def _stores(texts: list[str]) -> dict[str, str]:
    """Return datastores by name; a folder's own name where none is given."""
    stores: dict[str, str] = {}
    for text in texts:
        name, equals, place = text.partition("=")
        if not equals or Path(text).exists():
            name, place = Path(text).resolve().name, text
        if name in stores:
            raise OptionError(f"two datastores are called {name!r}; give another name as NAME=DIR")
        stores[name] = place
    return stores


def _store_images(texts: list[str], stores: dict[str, str]) -> dict[str, str]:
    """Return folders of pictures by the names of datastores; one without a name belongs to the only datastore.

    Raises:
      OptionError: there is no such datastore, or it is not said which one is meant.
    """
    folders: dict[str, str] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or Path(text).exists():
            if len(stores) != 1:
                raise OptionError(f"--store-images {text!r} is for one --store, and there are {len(stores)}: NAME=DIR")
            [name], folder = stores, text
        if name not in stores:
            raise OptionError(f"--store-images {text!r}: no --store is called {name!r}; there are: {', '.join(stores)}")
        folders[name] = folder
    return folders


def listen(host: str, port: int, options: str = "--host or --port") -> socket.socket:
    """Return a socket that listens at that address, taken before the model is loaded.

    Args:
      options: what chooses the address, for the error.

    Raises:
      OptionError: it cannot be had.
    """
    try:
        if not 0 <= port <= 65535:  # of which the system would take what is left after a division by 65536
            raise OverflowError("ports are 0 to 65535")
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # a port is one's own only from here on; who calls now waits for the model
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"cannot listen on {host} port {port}: {reason}; choose another {options}") from None
    return listener


def _running(settings: "Settings", address: str) -> running.Running | None:
    """Return what `camml ask` should know of a server, None where it answers otherwise than that would by itself."""
    chosen = (
        settings.encoder, settings.min_score, settings.margin, settings.rerank, settings.weights, settings.passages,
    )  # fmt: skip
    if any(value is not None for value in chosen) or settings.engine_options.keys() & {"use", "dtype", "prompt_style"}:
        return None
    stores = {
        os.path.realpath(place): name
        for name, place in settings.stores.items()
        if name not in settings.store_images and Path(place).is_dir()
    }
    return running.Running(
        platform.node(), os.getpid(), address, __version__, running.identity(settings.model), settings.served_name,
        stores, settings.fallback, bool(settings.api_keys),
    )  # fmt: skip


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _greeting(service: "Service", listener: socket.socket) -> str:
    stores = ", ".join(f"{name} ({len(shelf.datastore)} samples)" for name, shelf in service.shelves.items())
    facts: dict[str, Any] = {"model": service.settings.served_name, "datastores": stores or "none"}
    summary = "; ".join(f"{name}: {value}" for name, value in facts.items())
    return f"{_address(listener)}  {summary}"
