"""A program behind HTTP: what goes into it, what comes out, and what it may not use up."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import httpx
import psutil
import pytest

from micro.cli import program_server
from micro.cli.programs import Program
from tests.micro.conftest import eventually

WITHIN_S = 20
TOO_MUCH = program_server.MAX_BODY_BYTES + 1


@pytest.fixture
def serve(tmp_path) -> Iterator[Callable[..., httpx.Client]]:
    """Serve a shell script; what asks it."""
    opened: list[httpx.Client] = []
    servers: list[program_server.ProgramServer] = []

    def serve(script: str, **limits: float) -> httpx.Client:
        path = tmp_path / "report"
        path.write_text(f"#!/bin/sh\ncd {tmp_path}\n{script}\n")
        path.chmod(0o755)
        server = program_server.ProgramServer(Program(path, **limits), "reports", "127.0.0.1", 0)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        opened.append(httpx.Client(base_url=f"http://127.0.0.1:{server.server_address[1]}", timeout=WITHIN_S))
        return opened[-1]

    yield serve
    for client, server in zip(opened, servers, strict=True):
        client.close()
        server.shutdown()
        server.server_close()


def problem(answer: httpx.Response) -> tuple[int, str]:
    """The status of an error, and its sentence; both are in Micro's document."""
    document = answer.json()
    assert (document["id"], document["code"], document["status"]) == (
        "reports",
        answer.status_code,
        answer.reason_phrase,
    )
    return answer.status_code, document["detail"]


def _is_there(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # whose new parent may reap nobody
    except psutil.NoSuchProcess:
        return False


def pid(file: Path) -> int:
    eventually(lambda: file.exists() and file.read_text().strip(), WITHIN_S)
    return int(file.read_text())


@pytest.mark.parametrize(
    ("script", "kind", "text"),
    [
        ("cat", "text/plain; charset=utf-8", "Grüezi"),
        ("""printf '{"msg": "hello"}'""", "application/json", '{"msg": "hello"}'),
        ("echo '[1'", "text/plain; charset=utf-8", "[1\n"),
        ("true", "text/plain; charset=utf-8", ""),
        ("echo noise >&2; echo 7", "application/json", "7\n"),
    ],
)
def test_a_body_goes_in_and_what_is_printed_comes_out(serve, script, kind, text):
    answer = serve(script).post("/", content="Grüezi")
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (200, kind, text)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_each_request_runs_the_program_once(serve, tmp_path, method):
    assert serve("echo run >>runs; echo $REQUEST_METHOD").request(method, "/").text == f"{method}\n"
    assert (tmp_path / "runs").read_text() == "run\n"


def test_the_head_of_an_answer_has_its_length_and_no_body(serve):
    client = serve("echo hello")
    head = client.head("/")
    assert (head.status_code, head.headers["content-length"], head.text) == (200, "6", "")
    assert client.get("/").text == "hello\n"


def test_a_program_is_told_what_was_asked_for_and_nothing_that_a_caller_keeps_secret(serve):
    secret = {"Authorization": "Bearer hush", "Cookie": "session=hush", "Proxy": "http://hush", "X-Hush": "hush"}
    answer = serve("env").post("/a%20b/%C3%BC?x=1&y=%20", content="abc", headers={"Content-Type": "text/csv", **secret})
    told = dict(line.partition("=")[::2] for line in answer.text.splitlines())
    assert {name: told[name] for name in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING")} == {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/a b/ü",
        "QUERY_STRING": "x=1&y=%20",
    }
    assert (told["CONTENT_TYPE"], told["CONTENT_LENGTH"]) == ("text/csv", "3")
    assert "hush" not in answer.text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_that_guesses_the_port_runs_nothing(serve, tmp_path, site):
    client = serve("touch ran")
    assert problem(client.post("/", content="x", headers={"Sec-Fetch-Site": site}))[0] == 403
    assert not (tmp_path / "ran").exists()
    assert client.post("/", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert (tmp_path / "ran").exists()


def test_a_path_that_no_environment_holds_is_refused(serve):
    assert problem(serve("true").get("/a%00b")) == (400, "The path holds a NUL.")


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        (
            "echo first >&2; echo 'the moon is full' >&2; echo >&2; exit 3",
            "report ended with status 3: the moon is full",
        ),
        ("echo lost; exit 1", "report ended with status 1."),
        ("kill -SEGV $$", "report was ended by signal SIGSEGV."),
    ],
)
def test_a_program_that_fails_is_an_error_with_its_status_and_its_last_complaint(serve, script, detail):
    client = serve(script)
    assert problem(client.get("/")) == (500, detail)
    assert problem(client.get("/")) == (500, detail), "the connection goes on"


def test_a_program_that_cannot_be_started_is_an_error_that_says_why(serve, tmp_path):
    client = serve("true")
    (tmp_path / "report").unlink()
    assert problem(client.get("/")) == (500, "report cannot be started: No such file or directory.")


def test_a_program_that_does_not_end_in_time_is_stopped_with_its_children(serve, tmp_path):
    client = serve("sleep 600 & echo $! >child; wait", time_limit_s=1)
    assert problem(client.get("/")) == (504, "report did not end within 1 s, and was stopped.")
    child = pid(tmp_path / "child")
    eventually(lambda: not _is_there(child), WITHIN_S)


def test_a_program_that_closes_its_output_and_stays_is_stopped_in_time_too(serve):
    client = serve("exec >&- 2>&-; sleep 600", time_limit_s=1)
    assert problem(client.get("/"))[0] == 504


def test_a_program_that_never_stops_printing_is_stopped(serve, monkeypatch):
    monkeypatch.setattr("micro.cli.programs.MAX_PRINTED_BYTES", 1 << 20)
    assert problem(serve("yes").get("/")) == (500, "report prints more than 1 MiB, and was stopped.")
    assert problem(serve("yes >&2", time_limit_s=1).get("/"))[0] == 504


def test_more_runs_at_once_than_there_are_places_for_are_sent_away_for_a_moment(serve, tmp_path):
    client = serve("echo run >>started; until [ -e go ]; do sleep 0.05; done; echo done", at_once=2)
    with futures.ThreadPoolExecutor() as pool:
        running = [pool.submit(client.get, "/") for _ in range(2)]
        eventually(lambda: (tmp_path / "started").exists() and len((tmp_path / "started").read_text()) == 8, WITHIN_S)
        refused = client.get("/")
        (tmp_path / "go").touch()
        assert [asked.result(WITHIN_S).text for asked in running] == ["done\n"] * 2
    assert problem(refused)[0] == 503
    assert refused.headers["retry-after"] == "1"
    assert client.get("/").text == "done\n"


def test_a_body_of_the_largest_size_goes_in_and_a_larger_one_is_refused(serve):
    client = serve("wc -c")
    assert client.post("/", content=b"x" * (TOO_MUCH - 1)).json() == TOO_MUCH - 1
    detail = "The body is larger than 4 MiB, the most that a program is given."
    assert problem(client.post("/", content=b"x" * TOO_MUCH)) == (413, detail)
    assert problem(client.post("/", content=(b"x" * 65536 for _ in range(65)))) == (413, detail)


def test_a_body_in_pieces_is_put_together(serve):
    client = serve("cat")
    assert client.post("/", content=iter([b"one ", b"two"])).text == "one two"
    assert client.post("/", content=b"three").text == "three"


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: -1",
        "Content-Length: 1e3",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n",
        "Transfer-Encoding: chunked\r\n\r\nhello",
    ],
)
def test_a_body_without_a_length_that_makes_sense_runs_nothing(serve, tmp_path, head):
    client = serve("touch ran")
    with socket.create_connection(("127.0.0.1", client.base_url.port), WITHIN_S) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"] == "It is not said how long the body is."
    assert not (tmp_path / "ran").exists()


def test_a_body_that_is_cut_off_runs_nothing_and_the_server_goes_on(serve, tmp_path):
    client = serve("touch ran")
    with socket.create_connection(("127.0.0.1", client.base_url.port), WITHIN_S) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhello")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(4096) == b""
    assert not (tmp_path / "ran").exists()
    assert client.get("/").status_code == 200
