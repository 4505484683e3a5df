"""Walls around a process where bubblewrap works: it sees neither this server's state nor any other process.

Pure but for `works` and `switches_user`, which try it, and `give`. The network is this machine's own: what listens on
loopback is reached, and has to ask who calls.
"""

from __future__ import annotations

import errno
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uv
from django.conf import settings

from micro import file_server

from . import hidden

AUTO, ON, OFF = "auto", "on", "off"
TRY_TIMEOUT_S = 60
PROGRAM = "bwrap"
USER = 59_999  # nobody's: where the server is root, what it runs within walls is not
TOOLS = ("node", "npm", "go", "git")
NO_DESCRIPTOR = -1

# Runs first within the walls: becomes another user, which takes its last rights away, and then the program.
_ENTERING = """
import os, sys
user, descriptor, folder, *argv = sys.argv[1:]
variables = dict(os.environ)
if int(descriptor) >= 0:
    with open(int(descriptor), "rb") as file:
        pairs = file.read().split(b"\\0")[:-1]
    variables = dict(pair.split(b"=", 1) for pair in pairs)
if int(user):
    os.setgroups([])
    os.setresgid(int(user), int(user), int(user))
    os.setresuid(int(user), int(user), int(user))
try:
    os.chdir(folder)
    os.execvpe(argv[0], argv, variables)
except OSError as error:
    print(f"{error.filename or argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(126)
"""


@dataclass(frozen=True, slots=True)
class Room:
    """What a program finds within its walls, beside a machine that it can only read.

    `writable` names folders by where it sees them, `shown` what else it sees of what is hidden, `empty` what is there
    anew and in memory.
    """

    folder: Path
    writable: Mapping[Path, Path]
    shown: Iterable[Path] = ()
    empty: Iterable[Path] = field(default=())


def is_used() -> bool:
    """Whether processes are walled in here: unless the operator says no, where it works.

    `micro server` settles it once for all its processes: none may find, in a bad moment, that it does not work.
    """
    return settings.MICRO_BUBBLEWRAP == ON or (settings.MICRO_BUBBLEWRAP != OFF and works())


@functools.cache
def works() -> bool:
    """Whether a program runs within such walls on this machine."""
    return _runs(["/bin/sh", "-c", "exit 0"], user=0)


@functools.cache
def switches_user() -> bool:
    """Whether a program within the walls gets a user of its own: where we are root, and it can reach what it needs."""
    reads = f"import os, sys; open({file_server.__file__!r}); sys.exit(not os.access({uv.find_uv_bin()!r}, os.X_OK))"
    return os.geteuid() == 0 and _runs([sys.executable, "-c", reads], user=USER)


def around(argv: Sequence[str], room: Room, *, environment: int = NO_DESCRIPTOR) -> list[str]:
    """The command line that runs `argv` in a room.

    With a descriptor of `environment` its variables come from there, and nothing that runs before it sees them.
    """
    return _command(argv, room, user=USER if switches_user() else 0, environment=environment)


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[int]:
    """A descriptor from which a program within walls gets its variables.

    They are a tenant's: a library to preload is one of them, and must wait until the walls stand.
    """
    with os.fdopen(os.memfd_create("environment"), "wb") as file:
        file.write("".join(f"{name}={value}\0" for name, value in variables.items()).encode())
        file.flush()
        file.seek(0)
        yield file.fileno()


def give(path: Path) -> None:
    """Make a file, or a folder with all that is in it, the user's who runs within walls. Links are not followed."""
    if not switches_user() or path.lstat().st_uid == USER:
        return
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.lchown(os.path.join(folder, name), USER, USER)  # noqa: PTH118 - as many as there are files
    os.lchown(path, USER, USER)  # last: it says that all is done


def _runs(argv: Sequence[str], *, user: int) -> bool:
    if shutil.which(PROGRAM) is None:
        return False
    command = _command(argv, Room(Path("/"), {}), user=user)
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=TRY_TIMEOUT_S).returncode == 0
    except PermissionError:
        return False
    except subprocess.TimeoutExpired:  # no answer is not a no: it is asked again
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), PROGRAM) from None


def _command(argv: Sequence[str], room: Room, *, user: int, environment: int = NO_DESCRIPTOR) -> list[str]:
    """No new session: ours are found and ended by their session, and all within with the first of them."""
    program = shutil.which(PROGRAM) or PROGRAM
    kept = ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID") if user else ()
    walls = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL", *kept)
    machine = ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
    entered = (sys.executable, "-ISc", _ENTERING, str(user), str(environment), str(room.folder))
    return [program, *walls, *machine, *_mounts(room, user), "--chdir", "/", "--", *entered, *argv]


def _mounts(room: Room, user: int) -> Iterator[str]:
    """What is laid over the machine, the deeper the later: of two paths the longer one decides."""
    open_to_all = ("--perms", "1777") if user else ()
    away = hidden.folders()
    laid: dict[Path, tuple[str, ...]] = {path: ("--tmpfs", str(path)) for path in away}
    laid |= {path: ("--ro-bind", "/dev/null", str(path)) for path in hidden.files()}
    own = (Path("/tmp"), Path("/dev/shm"), *(path.resolve() for path in room.empty))  # noqa: S108 - its own
    shown = (path.resolve() for path in (*_programs((*away, *own)), *room.shown) if path.exists())
    laid |= {path: _bind(path, path, "--ro-bind") for path in shown}
    laid |= {path: (*open_to_all, "--tmpfs", str(path)) for path in own}
    laid |= {seen.resolve(): _bind(path, seen.resolve(), "--bind") for seen, path in room.writable.items()}
    if user:  # else these are open to their owner alone, and that is not the user
        laid |= {path: ("--perms", "0755", "--dir", str(path)) for path in _between(laid, (*away, *own))}
    for path in sorted(laid, key=lambda path: len(path.parts)):
        yield from laid[path]
    for path in away:
        if laid[path] == ("--tmpfs", str(path)):
            yield from ("--remount-ro", str(path))


def _between(laid: Iterable[Path], emptied: Collection[Path]) -> set[Path]:
    """The folders that lead from an emptied one to what is laid into it."""
    led = {parent for path in laid for parent in path.parents if any(top in parent.parents for top in emptied)}
    return led.difference(laid)


def _bind(path: Path, seen: Path, how: str) -> tuple[str, ...]:
    return how, str(path), str(seen)


def _programs(away: Sequence[Path]) -> Iterator[Path]:
    """What has to be seen of the hidden folders for Python and the toolchains to run."""
    wanted = [sys.prefix, sys.base_prefix, os.path.realpath(sys.base_prefix), file_server.__file__]
    wanted += [str(Path(os.path.realpath(sys.executable)).parents[1]), os.path.realpath("/etc/resolv.conf")]
    for tool in TOOLS:
        if found := shutil.which(tool):
            wanted += [str(Path(found).parent), str(Path(os.path.realpath(found)).parents[1])]
    for path in map(Path, dict.fromkeys(wanted)):
        if any(folder in path.parents for folder in away) and not hidden.holds_more(path):
            yield path
