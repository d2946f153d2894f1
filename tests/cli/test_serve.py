"""The options of `camml serve`, without a server."""

import socket
from pathlib import Path

import pytest

from camml.cli import build_parser
from camml.cli.serve import listen, read_settings
from camml.errors import OptionError
from camml.serving.settings import Settings


def settings(*arguments: str) -> Settings:
    return read_settings(build_parser().parse_args(["serve", *arguments]))


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("*", "*"), ("null", "null"), ("http://a.example/", "http://a.example"), ("HTTPS://A.Example", "https://a.example"),
        ("https://a.example:443", "https://a.example"), ("http://a.example:8080/", "http://a.example:8080"),
        ("http://[::1]:3000", "http://[::1]:3000"), ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("moz-extension://1-2-3", "moz-extension://1-2-3"), ("app://obsidian.md", "app://obsidian.md"),
        ("tauri://localhost", "tauri://localhost"), ("http://müller.example", "http://xn--mller-kva.example"),
        ("https://MÜLLER.example:8443/", "https://xn--mller-kva.example:8443"), ("http://例え.jp", "http://xn--r8jz45g.jp"),
        ("http://xn--strae-oqa.example", "http://xn--strae-oqa.example"),
    ],
)  # fmt: skip
def test_origins_are_those_that_browsers_send(given: str, origin: str) -> None:
    assert settings("--cors-origin", given).cors_origins == (origin,)


@pytest.mark.parametrize(
    "given", ["a.example", "http://", "http://a.example/path", "http://a b", "//a", "", "http://a@b", "http://*"]
)
def test_what_is_no_origin_is_refused(given: str) -> None:
    with pytest.raises(OptionError, match="is not the origin of a web page"):
        settings("--cors-origin", given)


@pytest.mark.parametrize("host", ["straße.example", "STRAẞE.example", "λόγος.example", f"{'ü' * 64}.example"])
@pytest.mark.parametrize("flag", ["--cors-origin", "--allowed-host", "--public-url"])
def test_a_host_that_browsers_write_in_another_way_is_asked_for_in_theirs(flag: str, host: str) -> None:
    with pytest.raises(OptionError, match=r"outside ASCII.*give the form that begins with 'xn--'"):
        settings("--no-keys", flag, f"http://{host}")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "ascii"])
def test_keys_are_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes("first-secret\r\n# a note\r\n\r\nsecond-secret\r\n".encode(encoding))
    assert settings("--api-keys", str(tmp_path / "keys")).api_keys == ("first-secret", "second-secret")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-be"])
def test_keys_in_another_encoding_are_refused_in_words(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes("abcdefghijkl\r\n".encode(encoding))
    with pytest.raises(OptionError, match=r"UTF-8|printable"):
        settings("--api-keys", str(tmp_path / "keys"))


@pytest.mark.parametrize("line", ["short", "späße-und-mehr", "short  # anna"])
def test_a_line_that_is_no_key_is_named_and_not_shown(line: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"# ours\nfirst-secret\n{line}\n", encoding="utf-8")
    with pytest.raises(OptionError, match=r"keys, line 3: an API key needs at least 8 printable ASCII") as raised:
        settings("--api-keys", str(tmp_path / "keys"))
    assert line.split()[0] not in str(raised.value)


@pytest.mark.parametrize("given", ["localhost", "foo", "127.0.0.1,proxy", "10.0.0.1/8", "127.0.0.1,", " "])
def test_a_proxy_that_is_no_address_is_refused_with_the_choices(given: str) -> None:
    with pytest.raises(
        OptionError, match=r"^--trust-proxy .* is not an address; give .* networks such as .* or \* for every"
    ):
        settings("--trust-proxy", given)


@pytest.mark.parametrize("given", ["", "*", "127.0.0.1", "::1, 10.0.0.0/8,192.0.2.7"])
def test_proxies_are_addresses_and_networks(given: str) -> None:
    assert settings("--trust-proxy", given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--min-score", "2"], "give -1 to 1"), (["--min-score", "nan"], "give -1 to 1"),
        (["--drain-seconds", "-1"], "--drain-seconds is -1; give 0 or more"),
        (["--model-name", ""], "--model-name is empty"), (["--model-name", " "], "--model-name is empty"),
        (["--memory", "1KB"], "--memory is 1 kB; give 1 MB or more"), (["--memory", "much"], "not an amount of memory"),
    ],
)  # fmt: skip
def test_what_is_out_of_its_range_is_refused_before_anything_is_loaded(given: list[str], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        settings(*given)


def test_keys_may_have_the_names_of_their_owners(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("first-secret  # anna\nsecond#secret\n")
    given = settings("--api-keys", str(tmp_path / "keys"))
    assert given.api_keys == ("first-secret", "second#secret")
    assert given.key_names == {"first-secret": "anna", "second#secret": ""}


@pytest.mark.parametrize(
    ("arguments", "inside", "outside"),
    [
        ([], "localhost", "evil.example"),
        (["--no-keys"], "localhost", "evil.example"),
        (["--public-url", "https://Camml.example/x"], "camml.example", "evil.example"),
        (["--host", "0.0.0.0", "--no-keys"], socket.gethostname().lower(), "evil.example"),
        (["--host", "0.0.0.0", "--no-keys", "--allowed-host", "Nas.Local"], "nas.local", "evil.example"),
    ],
)
def test_without_keys_the_names_that_it_answers_to_are_always_known(
    arguments: list[str], inside: str, outside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAMML_API_KEYS", raising=False)
    allowed = settings(*arguments).allowed_hosts
    assert inside in allowed
    assert outside not in allowed


def test_with_keys_any_name_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMML_API_KEYS", "first-secret")
    assert settings("--host", "0.0.0.0").allowed_hosts == ()
    assert settings("--allowed-host", "a.example").allowed_hosts == ("a.example",)


PATHS = ["api_keys.txt", "./api_keys", "../api_keys", "~/api_keys", "/etc/camml/api_keys", "there", "good-secret,there"]


@pytest.mark.parametrize("given", PATHS)
def test_a_path_in_place_of_keys_is_no_key(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").write_text("first-secret\n")
    monkeypatch.setenv("CAMML_API_KEYS", given)
    with pytest.raises(OptionError, match="looks like the path of a file; give a file of keys as --api-keys FILE"):
        settings()
    assert settings("--api-keys", "there").api_keys == ("first-secret",)


@pytest.mark.parametrize("key", ["first-secret", "sk-Ab3.x_9dEf", "/x7Qz+aab/1cd==", "3f9a0c1d2e3f4a5b6c7d"])
def test_keys_with_slashes_and_dots_are_keys(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMML_API_KEYS", f"{key}, second-secret")
    assert settings().api_keys == (key, "second-secret")


@pytest.mark.parametrize("url", ["a.example", "ftp://a.example", "http://", "http://[", "https:///path", "https://a:b"])
def test_a_public_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(OptionError, match="is not an address"):
        settings("--public-url", url)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("myhost:8000", "myhost"), ("http://MyHost", "myhost"), ("https://my.host:443/", "my.host"),
        ("[::1]:80", "[::1]"), ("::1", "[::1]"), ("my_host.", "my_host."),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
    ],
)  # fmt: skip
def test_a_name_that_it_answers_to_may_come_with_a_port_or_as_an_address(given: str, name: str) -> None:
    assert Settings(model="m", allowed_hosts=(given,)).allowed_hosts == (name,)


@pytest.mark.parametrize(
    "given", ["", "*", "*.example.org", "a b", "http://a/path", "a@b", "http://", "ftp://a", "a..b"]
)
def test_what_is_no_name_of_a_host_is_refused(given: str) -> None:
    with pytest.raises(OptionError, match=r"^--allowed-host .* is not the name of a host; give one such as camml\."):
        settings("--no-keys", "--allowed-host", given)


@pytest.mark.parametrize("odd", ["anna's machine", "a" * 64, "a..b", ""])
def test_odd_names_of_this_machine_do_not_hinder_the_start(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAMML_API_KEYS", raising=False)
    monkeypatch.setattr(socket, "gethostname", lambda: odd)
    monkeypatch.setattr(socket, "getfqdn", lambda: "Machine.local")
    allowed = settings("--host", "0.0.0.0", "--no-keys").allowed_hosts
    assert "machine.local" in allowed
    assert odd not in allowed


def test_two_servers_do_not_get_one_port() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(
            OptionError, match=rf"port {port}: Address already in use; choose another --host or --port$"
        ):
            listen("127.0.0.1", port).close()


@pytest.mark.parametrize("port", [99999, 65536, -1])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(OptionError, match=rf"port {port}: ports are 0 to 65535; choose another --host or --port$"):
        listen("127.0.0.1", port).close()
