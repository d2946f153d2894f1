"""Who is let in, and how much."""

import json
import logging
import socket
import time
from contextlib import ExitStack, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camml.errors import OptionError
from camml.serving import access, application
from camml.serving.access import Access, place_of, stored_secret
from camml.serving.gate import Gate, RateLimit
from camml.serving.logs import JsonFormatter
from camml.serving.problems import ApiError
from camml.serving.settings import Settings
from tests.serving.conftest import MakeService, Serve

KEYS = ("first-secret", "second-secret")
SENT_BY_CLIENTS = "authorization,content-type,x-stainless-lang,x-stainless-retry-count,x-requested-with"
"""Headers of OpenAI's own client in a browser, and of others, that a page asks leave for."""
ASK = {"model": "tiny", "max_tokens": 4, "messages": [{"role": "user", "content": "red"}]}


CLOSED = [
    ("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("HEAD", "/v1/models"), ("GET", "/metrics"),
    ("DELETE", "/v1/stores/colours/samples?id=red"), ("GET", "/v1/stores"), ("GET", "//v1/stores"),
    ("GET", "/v1/stores/colours/a/thumbnail"), ("GET", "/v1/models/thumbnail"), ("GET", "/v1/models/a/thumbnail"),
    ("GET", "/v1/stores/thumbnail"), ("GET", "/v1/stores/a%2Fthumbnail?id=a"),
    ("GET", "/v1/stores/a/samples/thumbnail"), ("GET", "/v1/page/setup/thumbnail"), ("GET", "/thumbnail"),
    ("GET", "/v1/stores/colours/thumbnail/"),
    ("GET", "/v1/stores//thumbnail"), ("POST", "/v1/stores/colours/thumbnail"),
    ("GET", "/v1/stores/colours/thumbnail?id=red"), ("GET", "/v1/stores/thumbnail/thumbnail?id=red"),
    ("GET", "/v1/stores/colours%0A/thumbnail"), ("POST", "/page/x"),
]  # fmt: skip
"""What needs a key, or a signature, whether it is there or not."""


def dial(address: str) -> socket.socket:
    """A bare connection to a server."""
    return socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))


def answer_of(address: str, body: dict[str, Any], wanted: int) -> httpx.Response:
    """The answer to a question, which is asked again for a minute until it has the status `wanted`."""
    until = time.monotonic() + 60
    while True:
        answer = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=60)
        if answer.status_code == wanted or time.monotonic() > until:
            return answer
        time.sleep(0.05)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def standing_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which no bucket fills again, however long a test takes."""
    for place in ("guard", "access"):
        monkeypatch.setattr(f"camml.serving.{place}.RateLimit", partial(RateLimit, now=lambda: 0.0))


class TestKeys:
    def test_only_those_who_have_one_get_in(
        self, make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(access, "WRONG_KEYS", 10_000)
        with serve(make_service(api_keys=KEYS)) as address, httpx.Client(base_url=address, timeout=60) as http:
            for key in KEYS:
                assert http.post("/v1/chat/completions", json=ASK, headers=bearer(key)).status_code == 200
            for headers in ({}, bearer("first-secre"), bearer("first-secret2"), {"Authorization": KEYS[0]},
                            {"Authorization": f"Basic {KEYS[0]}"}):  # fmt: skip
                for method, path in CLOSED:
                    answer = http.request(method, path, headers=headers)
                    assert answer.status_code == 401, (method, path, headers)
                    assert method == "HEAD" or answer.json()["error"]["code"] == "invalid_api_key"
                assert http.get("/health").json() == {"status": "ok"}
                assert http.get("/ready").status_code == 200

    def test_thumbnails_carry_their_own_permission(self, make_service: MakeService, serve: Serve) -> None:
        with serve(make_service(api_keys=KEYS)) as address, httpx.Client(base_url=address) as http:
            samples = http.get("/v1/stores/colours/samples", headers=bearer(KEYS[0])).json()["data"]
            url = next(sample["thumbnail_url"] for sample in samples if sample["id"] == "red")
            assert http.get(url).headers["content-type"] == "image/jpeg"
            assert http.get(url.replace("id=red", "id=blue")).status_code == 401
            assert http.get(url.replace("expires=", "expires=9")).status_code == 401
            assert http.get(url[:-1] + ("0" if url[-1] != "0" else "1")).status_code == 401
            plain = "/v1/stores/colours/thumbnail?id=red"
            assert http.get(plain).status_code == 401
            assert http.get(plain, headers=bearer(KEYS[0])).status_code == 200
            assert http.get(url, headers=bearer("wrong-secret")).status_code == 401
            assert http.head(url).headers["content-type"] == "image/jpeg"
            assert http.get(url).headers["cross-origin-resource-policy"] == "same-origin"

    def test_an_address_of_a_thumbnail_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        secret = bytes(range(32))
        access = Access(KEYS, secret)
        expires = int(httpx.QueryParams(access.thumbnail_query("s", "a"))["expires"])
        token = httpx.QueryParams(access.thumbnail_query("s", "a"))["token"]
        assert access.may_see("s", "a", expires, token)
        assert Access(tuple(reversed(KEYS)), secret).may_see("s", "a", expires, token), "it outlives a restart"
        assert not Access(KEYS[:1], secret).may_see("s", "a", expires, token), "and ends with the keys"
        assert not Access(KEYS).may_see("s", "a", expires, token), "who has the keys of another server cannot make one"
        monkeypatch.setattr(time, "time", lambda: expires + 1.0)
        assert not access.may_see("s", "a", expires, token)

    def test_the_secret_is_kept_for_the_owner_alone(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        secret = stored_secret(tmp_path / "new" / "state")
        assert secret is not None
        assert len(secret) == 32
        assert stored_secret(tmp_path / "new" / "state") == secret
        assert stored_secret(tmp_path / "other") != secret
        [file] = (tmp_path / "new" / "state").iterdir()
        assert file.stat().st_mode & 0o077 == 0
        assert stored_secret(None) is None
        (tmp_path / "file").write_text("")
        assert stored_secret(tmp_path / "file" / "state") is None
        assert "their addresses end with this process" in caplog.text

    def test_wrong_keys_are_throttled_and_right_ones_are_not_locked_out(
        self, make_service: MakeService, serve: Serve, standing_still: None
    ) -> None:
        with serve(make_service(api_keys=KEYS)) as address, httpx.Client(base_url=address) as http:
            assert http.get("/v1/models", headers=bearer(KEYS[0])).status_code == 200
            tries = [http.get("/v1/models", headers=bearer(f"wrong-key-{n}")).status_code for n in range(25)]
            assert tries[:20] == [401] * 20
            assert tries[-1] == 429
            thumbnail = http.get("/v1/stores/colours/thumbnail?id=red", headers=bearer("wrong-key"))
            assert thumbnail.status_code == 429
            assert http.get("/v1/models", headers=bearer(KEYS[1])).status_code == 429, "a guess that is right, too"
            assert http.get("/v1/models", headers=bearer(KEYS[0])).status_code == 200, "who was in stays in"
            assert http.get("/v1/models").json()["error"]["code"] == "invalid_api_key"

    @pytest.mark.parametrize(
        ("client", "place"),
        [
            ("203.0.113.7", "203.0.113.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("::1", "::/64"),
            ("::ffff:203.0.113.7", "203.0.113.7"), ("fe80::1%eth0", "fe80::/64"), ("", ""), ("unix", "unix"),
        ],
    )  # fmt: skip
    def test_clients_are_told_apart_by_what_one_customer_has(self, client: str, place: str) -> None:
        assert place_of(client) == place

    @given(st.text(), st.text())
    def test_no_two_thumbnails_share_a_permission(self, store: str, sample: str) -> None:
        access = Access(KEYS)
        result = httpx.QueryParams(access.thumbnail_query("colours", "red"))
        expires, token = int(result["expires"]), result["token"]
        assert access.may_see(store, sample, expires, token) == ((store, sample) == ("colours", "red"))

    @pytest.mark.parametrize("key", ["short", "späße und mehr", "line\nbreak-and-more"])
    def test_keys_that_cannot_be_sent(self, key: str) -> None:
        with pytest.raises(OptionError, match="API key"):
            Settings(model="m", api_keys=(key,))


@pytest.mark.parametrize("keys", [(), KEYS])
def test_the_description_of_the_interface_says_how_to_send_a_key(
    keys: tuple[str, ...], make_service: MakeService
) -> None:
    described = application.create(make_service(api_keys=keys)).openapi()
    schemes = {"HTTPBearer": {"type": "http", "scheme": "bearer"}} if keys else None
    assert described["components"].get("securitySchemes") == schemes
    routes = {("/v1/chat/completions", "post"): keys, ("/metrics", "get"): keys, ("/health", "get"): ()}
    for (path, method), needed in routes.items():
        assert ("security" in described["paths"][path][method]) == bool(needed), path
    bodies = described["paths"]["/v1/stores/{store}/samples"]["post"]["requestBody"]["content"]
    assert bodies.keys() == {"multipart/form-data", "application/json"}
    assert bodies["application/json"]["schema"]["properties"].keys() == {"text", "id", "meta", "image_url"}


class TestWebPages:
    def test_other_origins_are_kept_out(self, address: str) -> None:
        for origin, status in (("https://evil.example", 403), ("null", 403), (address, 200)):
            answer = httpx.post(f"{address}/v1/chat/completions", json=ASK, headers={"Origin": origin}, timeout=60)
            assert answer.status_code == status
            assert "access-control-allow-origin" not in answer.headers

    def test_those_allowed_are_let_in(self, make_service: MakeService, serve: Serve) -> None:
        origin = {"Origin": "https://our.example"}
        with serve(make_service(cors_origins=("https://our.example",), api_keys=KEYS)) as address:
            wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": SENT_BY_CLIENTS}
            before = httpx.options(f"{address}/v1/chat/completions", headers=origin | wanted)
            assert before.status_code == 200
            assert before.headers["access-control-allow-origin"] == "https://our.example"
            assert before.headers["access-control-allow-headers"] == SENT_BY_CLIENTS
            wanted["Access-Control-Request-Private-Network"] = "true"  # as Chromium asks for a page from the internet
            private = httpx.options(f"{address}/v1/chat/completions", headers=origin | wanted)
            assert private.status_code == 200
            assert private.headers["access-control-allow-private-network"] == "true"
            answer = httpx.post(
                f"{address}/v1/chat/completions", json=ASK, headers=origin | bearer(KEYS[0]), timeout=60
            )
            assert answer.headers["access-control-allow-origin"] == "https://our.example"
            assert "access-control-allow-origin" not in httpx.options(
                f"{address}/v1/models", headers=wanted | {"Origin": "https://evil.example"}
            ).headers  # fmt: skip

    @pytest.mark.parametrize("allowed", ["https://our.example/", "HTTPS://Our.Example:443", "*"])
    def test_an_origin_may_be_written_as_people_do(self, allowed: str, make_service: MakeService, serve: Serve) -> None:
        origin = {"Origin": "https://our.example"}
        with serve(make_service(cors_origins=(allowed,))) as address:
            answer = httpx.post(f"{address}/v1/chat/completions", json=ASK, headers=origin, timeout=60)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] in ("https://our.example", "*")

    @pytest.mark.parametrize(
        "public", ["https://camml.example.org:443", "https://Camml.Example.org", "HTTPS://camml.example.org/", ""]
    )
    def test_the_page_behind_a_proxy_is_let_in_however_its_address_is_written(
        self, public: str, make_service: MakeService, serve: Serve
    ) -> None:
        with serve(make_service(public_url=public)) as address:
            hosts = ["127.0.0.1:8000"] if public else ["camml.example.org:443", "Camml.Example.org"]
            for host in hosts:
                for origin, status in (("https://camml.example.org", 200), ("https://evil.example", 403)):
                    headers = {"Host": host, "Origin": origin}
                    answer = httpx.post(f"{address}/v1/chat/completions", json=ASK, headers=headers, timeout=60)
                    assert answer.status_code == status, (host, origin)

    @pytest.mark.long
    def test_a_server_of_this_machine_answers_to_its_own_names_alone(
        self, make_service: MakeService, serve: Serve
    ) -> None:
        with serve(make_service(allowed_hosts=("localhost", "127.0.0.1"))) as address:
            assert httpx.get(f"{address}/v1/models").status_code == 200
            assert httpx.get(f"{address}/v1/models", headers={"Host": "LOCALHOST:80"}).status_code == 200
            for host in ("[::1]:80", "192.0.2.1:8000"):  # no page has figures for a name
                assert httpx.get(f"{address}/v1/models", headers={"Host": host}).status_code == 200
            for host in (
                "",
                "evil.example",
                "evil.example:8000",
                "192.0.2.1.evil.example",
                "0x7f000001",
                "127.0.0.1.evil.example",
                "localhost@evil",
            ):
                assert httpx.get(f"{address}/v1/models", headers={"Host": host}).status_code in (400, 421)


@pytest.mark.parametrize(
    ("request_line", "host", "status"),
    [
        ("GET /v1/models HTTP/1.0", None, 200), ("GET /v1/models HTTP/1.1", "localhost.", 200),
        ("GET http://127.0.0.1:80/v1/models?a=b HTTP/1.1", "127.0.0.1", 200),
        ("GET HTTP://localhost/v1/models HTTP/1.1", "evil.example", 200), ("GET http://localhost HTTP/1.1", "x", 200),
        ("GET http://evil.example/v1/models HTTP/1.1", "localhost", 421), ("GET /v1/models HTTP/1.1", "evil.", 421),
    ],
)  # fmt: skip
def test_requests_of_old_programs_and_proxies_are_understood(
    request_line: str, host: str | None, status: int, make_service: MakeService, serve: Serve
) -> None:
    head = f"{request_line}\r\n" + (f"Host: {host}\r\n" if host else "") + "Connection: close\r\n\r\n"
    with serve(make_service(allowed_hosts=("localhost", "127.0.0.1"))) as address, dial(address) as line:
        line.sendall(head.encode())
        assert int(line.recv(100).split()[1]) == status


def test_a_whole_address_in_place_of_a_path_needs_a_key_too(make_service: MakeService, serve: Serve) -> None:
    with serve(make_service(api_keys=KEYS)) as address, dial(address) as line:
        line.sendall(b"GET http://localhost/v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert int(line.recv(100).split()[1]) == 401


class TestLimits:
    def test_requests_that_are_too_large(self, make_service: MakeService, serve: Serve) -> None:
        with serve(make_service(max_body=10_000)) as address:
            body = json.dumps(ASK | {"user": "x" * 20_000}).encode()

            def pieces() -> Any:
                yield body[:9000]
                yield body[9000:]

            for content in (body, pieces()):  # with and without a length said before
                answer = httpx.post(
                    f"{address}/v1/chat/completions", content=content, headers={"Content-Type": "application/json"}
                )
                assert answer.status_code == 413
                assert answer.json()["error"]["code"] == "request_too_large"
            files = {"image": ("a.png", b"x" * 20_000)}
            assert httpx.post(f"{address}/v1/stores/colours/samples", files=files).status_code == 413

    def test_a_client_that_falls_silent(
        self, make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("camml.serving.arrival.SILENT_SECONDS", 0.2)
        with (
            serve(make_service()) as address,
            dial(address) as s,
        ):
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
            s.settimeout(30)
            assert b"408" in s.recv(1000)

    def test_too_many_requests_a_minute(self, make_service: MakeService, serve: Serve, standing_still: None) -> None:
        with serve(make_service(rate_limit=2)) as address, httpx.Client(base_url=address, timeout=60) as http:
            answers = [http.post("/v1/stores/colours/search", json={"query": "red"}) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 429]
            assert answers[2].json()["error"]["type"] == "rate_limit_error"
            assert 1 <= int(answers[2].headers["retry-after"]) <= 30
            assert [http.get("/v1/stores").status_code for _ in range(21)] == [200] * 20 + [429], "looking costs less"
            assert http.get("/").status_code == 200, "the page is free"

    def test_a_bucket_is_a_keys_however_it_is_written(
        self, make_service: MakeService, serve: Serve, standing_still: None
    ) -> None:
        with serve(make_service(rate_limit=2, api_keys=KEYS)) as address, httpx.Client(base_url=address) as http:
            written = [f"Bearer {KEYS[0]}", f"bearer {KEYS[0]}", f"BEARER  {KEYS[0]}", f"Bearer    {KEYS[0]}"]
            answers = [
                http.post(
                    "/v1/stores/colours/search", json={"query": "red"}, headers={"Authorization": header}
                ).status_code
                for header in written
            ]
            assert answers == [200, 200, 429, 429]
            other = http.post("/v1/stores/colours/search", json={"query": "red"}, headers=bearer(KEYS[1]))
            assert other.status_code == 200

    def test_a_client_cannot_give_itself_another_address(
        self, make_service: MakeService, serve: Serve, standing_still: None
    ) -> None:
        with serve(make_service(rate_limit=2)) as address, httpx.Client(base_url=address) as http:
            answers = [
                http.post(
                    "/v1/stores/colours/search", json={"query": "red"}, headers={"X-Forwarded-For": f"203.0.113.{n}"}
                ).status_code
                for n in range(4)
            ]
            assert answers == [200, 200, 429, 429]

    def test_a_bucket_fills_again(self) -> None:
        now = [0.0]
        limit = RateLimit(60, now=lambda: now[0])
        for _ in range(60):
            limit.take("a")
        limit.take("b")
        with pytest.raises(ApiError) as caught:
            limit.take("a")
        assert caught.value.headers == {"Retry-After": "1"}
        now[0] += 1.01
        limit.take("a")

    def test_a_gate_counts_down_again_whatever_happens(self) -> None:
        gate = Gate(3, "things")
        with gate.enter(2), pytest.raises(ApiError) as caught, gate.enter(2):
            raise AssertionError
        assert caught.value.status_code == 503
        with pytest.raises(KeyError), gate.enter(2):
            raise KeyError
        assert gate.inside == 0

    @pytest.mark.long
    def test_a_request_that_drips_ends_too(
        self, make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("camml.serving.arrival.WHOLE_SECONDS", 0.5)
        with serve(make_service()) as address, dial(address) as s:
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
            s.settimeout(0.05)
            begun, said = time.monotonic(), b""
            while not said and time.monotonic() - begun < 60:
                s.sendall(b" ")
                with suppress(TimeoutError):
                    said = s.recv(1000)
            assert b"408" in said
            assert time.monotonic() - begun < 30

    def test_requests_that_are_still_arriving_keep_nobody_out(
        self, make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("camml.serving.guard.MOST_REQUESTS", 3)
        with serve(make_service()) as address, ExitStack() as open_:
            for _ in range(10):
                s = open_.enter_context(dial(address))
                s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{")
            assert httpx.get(f"{address}/v1/models").status_code == 200
            assert httpx.post(f"{address}/v1/chat/completions", json=ASK, timeout=60).status_code == 200

    @pytest.mark.long
    def test_what_all_bodies_hold_has_an_end(
        self, make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("camml.serving.arrival.AT_ONCE", 2)
        with serve(make_service(max_body=100_000)) as address:
            with ExitStack() as open_:
                for _ in range(2):
                    s = open_.enter_context(dial(address))
                    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
                    s.sendall(head + b" " * 99_000)
                long = ASK | {"user": "x" * 50_000}
                refused = answer_of(address, long, 503)  # once what was sent has arrived
                assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
            assert answer_of(address, ASK, 200).status_code == 200


class TestErrors:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [("GET", "/nowhere", 404), ("PUT", "/v1/models", 405), ("GET", "/v1/models/nobody", 404),
         ("GET", "/v1/stores/none", 404), ("GET", "/v1/stores/colours/samples?limit=x", 400)],
    )  # fmt: skip
    def test_have_the_shape_of_openai(self, address: str, method: str, path: str, status: int) -> None:
        answer = httpx.request(method, address + path)
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert answer.headers["x-request-id"]

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"model": "\\ud800"}', b"[" * 100_000])
    def test_bodies_that_are_no_json(self, address: str, body: bytes) -> None:
        answer = httpx.post(
            f"{address}/v1/chat/completions", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]

    def test_broken_text_in_a_question(self, address: str) -> None:
        body = (
            b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}], "filter": {"\\udfff": "\\ud800"}}'
        )
        answer = httpx.post(
            f"{address}/v1/chat/completions", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 400

    def test_our_own_mistakes_say_nothing_but_that(
        self, make_service: MakeService, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        service = make_service()
        monkeypatch.setattr(service.shelves["colours"], "page", lambda *_: 1 / 0)
        with caplog.at_level(logging.ERROR), serve(service) as address:
            answer = httpx.get(f"{address}/v1/stores/colours/samples")
        assert answer.status_code == 500
        assert "division" not in answer.text
        assert any(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in caplog.records)


class TestNotes:
    def test_metrics(self, make_service: MakeService, serve: Serve) -> None:
        with serve(make_service()) as address, httpx.Client(base_url=address, timeout=60) as http:
            for _ in range(2):
                http.post("/v1/chat/completions", json=ASK)
            http.get("/v1/stores/colours/thumbnail?id=red")
            text = http.get("/metrics").text
        figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        assert figures['camml_requests_total{method="POST",route="/v1/chat/completions",status="200"}'] == "2.0"
        assert float(figures["camml_new_tokens_total"]) == 8
        assert figures["camml_first_token_seconds_count"] == figures["camml_retrieval_seconds_count"] == "2.0"
        assert figures["camml_tokens_per_second_count"] == "2.0"
        assert figures['camml_store_samples{store="colours"}'] == "4.0"
        assert figures['camml_thumbnail_misses_total{store="colours"}'] == "1.0"
        assert float(figures["camml_engine_running"]) == float(figures["camml_engine_waiting"]) == 0

    @pytest.mark.long
    def test_the_log_tells_what_happened_but_not_what_was_said(
        self, make_service: MakeService, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        secret = "what colour is my secret"
        body = ASK | {"messages": [{"role": "user", "content": secret}]}
        for content in (False, True):
            caplog.clear()
            with caplog.at_level(logging.INFO, "camml"), serve(make_service(log_content=content)) as address:
                httpx.post(f"{address}/v1/chat/completions", json=body, timeout=60)
                httpx.post(f"{address}/v1/chat/completions", json=body | {"mode": secret}, timeout=60)
            lines = [JsonFormatter(content).format(record) for record in caplog.records if "camml" in record.name]
            entries = [json.loads(line) for line in lines]
            [answered] = [entry for entry in entries if entry.get("new_tokens")]
            assert answered["route"] == "/v1/chat/completions"
            assert (answered["status"], answered["new_tokens"], answered["store"]) == (200, 4, "colours")
            assert answered["first_token_ms"] <= answered["ms"]
            assert any(secret in line for line in lines) == content

    def test_a_refusal_says_in_the_log_why_whom_and_from_where(
        self, make_service: MakeService, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        service = make_service(api_keys=KEYS, key_names={KEYS[0]: "anna"})
        # a request is logged after its answer: the server has stopped before the log is read
        with caplog.at_level(logging.INFO, "camml"), serve(service) as address:
            httpx.get(f"{address}/v1/models")
            httpx.get(f"{address}/v1/models/none", headers=bearer(KEYS[0]))
            httpx.post(f"{address}/v1/chat/completions", json={}, headers=bearer(KEYS[1]))
            httpx.post(f"{address}/v1/chat/completions", json={}, headers={"Origin": "http://evil.example"})
        lines = [JsonFormatter().format(record) for record in caplog.records if record.message == "request"]
        entries = [json.loads(line) for line in lines]
        assert [entry["reason"] for entry in entries] == [
            "invalid_api_key", "model_not_found", "invalid_value", "wrong_origin"
        ]  # fmt: skip
        assert [entry.get("key") for entry in entries] == [None, "anna", sha256(KEYS[1].encode()).hexdigest()[:8], None]
        assert {entry["client"] for entry in entries} == {"127.0.0.1"}
        assert not any(key in line for key in KEYS for line in lines)

    def test_an_exception_is_logged_without_its_message(self) -> None:
        try:
            raise ValueError("my secret")
        except ValueError as error:
            record = logging.LogRecord(
                "camml", logging.ERROR, "f", 1, "failed", (), (ValueError, error, error.__traceback__)
            )
        line = JsonFormatter().format(record)
        assert "secret" not in line
        assert json.loads(line)["error"] == "ValueError"
        assert "secret" in JsonFormatter(content=True).format(record)


def test_store_names_fit_in_addresses(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="NAME=DIR"):
        Settings(model="m", stores={"a/b": str(tmp_path)})
