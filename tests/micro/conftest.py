"""A user with a home of their own, a platform in memory, and services as real processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from micro.proto import registry_pb2
from tests.fakes import FakeEcho, FakeSidecar

MICRO = [str(Path(sys.executable).with_name("micro"))]
PROTO = Path(__file__).with_name("everything.proto")
HELLOWORLD = Path(__file__).parents[2] / "examples" / "helloworld" / "main.py"


class User:
    """Somebody at a shell."""

    def __init__(self, home: Path, address: str) -> None:
        self.home = home
        self.env = {"HOME": str(home), "PATH": os.environ["PATH"], "MICRO_PROXY": address, "LANG": "C.UTF-8"}

    def micro(
        self, *args: str | Path, stdin: str = "", cwd: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*MICRO, *map(str, args)],
            check=False,
            input=stdin,
            env=self.env | env,
            cwd=cwd or self.home,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def start(self, *args: str, **options: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*MICRO, *args],
            env=self.env,
            cwd=self.home,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )  # type: ignore[call-overload]

    def on_a_terminal(self, *args: str, columns: int) -> list[str]:
        """The lines that somebody sees on a terminal of that width."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            [*MICRO, *args], env=self.env, cwd=self.home, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # so a terminal ends
            while some := os.read(ours, 4096):
                seen += some
        os.close(ours)
        process.wait(30)
        return seen.decode().splitlines()

    def at_a_terminal(self, *argv: str) -> Terminal:
        """A program as somebody uses it interactively."""
        return Terminal(argv, self.env | {"PATH": f"{Path(MICRO[0]).parent}:{self.env['PATH']}"}, self.home)

    def login(self) -> User:
        assert self.micro("login", "--username=admin", "--password=micro").returncode == 0
        return self


class Terminal:
    """A program on a terminal, typed to and read from. Ends with the block."""

    def __init__(self, argv: Sequence[str], env: dict[str, str], folder: Path) -> None:
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(folder)
            os.execvpe(argv[0], argv, env | {"TERM": "dumb"})  # noqa: S606
        self._seen = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            os.kill(self._pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        os.close(self._terminal)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def sees(self, sign: str, within_s: float = 30) -> None:
        """Wait until the sign has come since the last one that was waited for."""
        deadline = time.monotonic() + within_s
        while sign.encode() not in self._seen:
            ready, _, _ = select.select([self._terminal], [], [], max(0, deadline - time.monotonic()))
            assert ready, self._seen
            self._seen += os.read(self._terminal, 4096)
        self._seen = self._seen.partition(sign.encode())[2]

    def exit_code(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


@pytest.fixture
def sidecar() -> Iterator[FakeSidecar]:
    with FakeSidecar() as sidecar:
        yield sidecar


@pytest.fixture
def stranger(sidecar: FakeSidecar, tmp_path: Path) -> User:
    """Nobody is logged in."""
    home = tmp_path / "home"
    home.mkdir()
    return User(home, sidecar.address)


@pytest.fixture
def user(stranger: User) -> User:
    return stranger.login()


class Running:
    """A service as a process of its own."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process, self.address = process, address

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(10)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a service file: a path, or its text. Waits until it says that it listens."""
    started: list[subprocess.Popen[str]] = []

    def start(source: Path | str, **env: str) -> Running:
        if isinstance(source, str):
            file = tmp_path / f"service{len(started)}.py"
            file.write_text(source)
        else:
            file = source
        process = subprocess.Popen(
            [sys.executable, str(file)],
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]} | env,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        line = process.stderr.readline()  # type: ignore[union-attr]
        found = re.search(r"listens on (\S+)", line)
        assert found, line + process.stderr.read()  # type: ignore[union-attr]
        return Running(process, found[1])

    yield start
    for process in started:
        process.kill()
        process.wait()


def eventually(claim: Callable[[], object], within_s: float = 5) -> None:
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def helloworld(start: Callable[..., Running], sidecar: FakeSidecar, user: User) -> Running:
    """The example, registered by the user who is logged in."""
    running = start(HELLOWORLD, HOME=str(user.home), MICRO_PROXY=sidecar.address)
    eventually(lambda: ("micro", "helloworld") in sidecar.registered)
    return running


@pytest.fixture(scope="session")
def descriptors(tmp_path_factory) -> bytes:
    """The FileDescriptorSet of everything.proto, comments included."""
    out = tmp_path_factory.mktemp("protos") / "set"
    tool = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{PROTO.parent}",
        "--include_imports",
        "--include_source_info",
    ]
    subprocess.run([*tool, f"--descriptor_set_out={out}", PROTO.name], check=True)
    return out.read_bytes()


@pytest.fixture
def everything(sidecar, descriptors):
    """The echo server, registered."""
    server = grpc.server(futures.ThreadPoolExecutor(8), (FakeEcho(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    service = registry_pb2.Service(name="everything", version="latest", protocol="grpc", descriptors=descriptors)
    service.nodes.add(id="one", address=f"127.0.0.1:{port}")
    sidecar.registered["micro", "everything"] = service
    yield service
    server.stop(None).wait()


@pytest.fixture
def folder(user) -> Path:
    """A source called greeter in the user's home."""
    folder = user.home / "greeter"
    folder.mkdir()
    (folder / "main.py").write_text("print('hello')\n")
    return folder
