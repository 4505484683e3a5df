"""What a tenant's container can reach: its own network, the service network's door, name servers, the public internet.

The rules are chains of ours that the machine's chains jump to for our bridges. The jump names bridges by their first
letters, so a network is closed before it is made; what a new network needs more is only leave to talk to itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

# Metadata services, private and other addresses that are not the public internet's.
NOT_PUBLIC = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
)
MAIL_PORT = 25
PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
WAIT_S = "5"

_KNOWN = "-m conntrack --ctstate ESTABLISHED,RELATED"
_REFUSE = "-j REJECT --reject-with icmp-admin-prohibited"


class NotWritable(RuntimeError):
    """This process cannot write firewall rules; the message says why."""


@dataclass(frozen=True, slots=True)
class Wall:
    """Everything that decides the rules of one server."""

    server: str
    bridges: str  # what the names of its bridges begin with
    networks: Sequence[str]  # its bridges
    door_port: int  # the service network's port, at the gateway of each network
    door: tuple[str, int] | None = None  # where on this machine that is listened for
    name_servers: Sequence[str] = ()
    control_plane: Sequence[str] = ()  # further addresses that are refused, public ones too


def restore(wall: Wall) -> str:
    """The chains in the language of iptables-restore; with --noflush they are replaced at once and nothing else is."""
    lines = [
        "*filter",
        f":{_chain(wall, 'OUT')} - [0:0]",
        f":{_chain(wall, 'IN')} - [0:0]",
        *(f"-A {_chain(wall, 'OUT')} {rule}" for rule in _outwards(wall)),
        *(f"-A {_chain(wall, 'IN')} {rule}" for rule in _inwards(wall)),
        "COMMIT",
        "*nat",
        f":{_chain(wall, 'DOOR')} - [0:0]",
        *(f"-A {_chain(wall, 'DOOR')} {rule}" for rule in _door(wall)),
        "COMMIT",
    ]
    return "\n".join(lines) + "\n"


def restore_v6(wall: Wall) -> str:
    """The same for IPv6, which containers do not have: nothing passes."""
    chain = _chain(wall, "OUT")
    return f"*filter\n:{chain} - [0:0]\n-A {chain} -j DROP\nCOMMIT\n"


def jumps(wall: Wall) -> list[list[str]]:
    """Where our chains are entered: table, chain, rule. Ahead of everything else there."""
    bridges = ["-i", f"{wall.bridges}+"]
    return [
        ["filter", "DOCKER-USER", *bridges, "-j", _chain(wall, "OUT")],
        ["filter", "INPUT", *bridges, "-j", _chain(wall, "IN")],
        ["nat", "PREROUTING", *bridges, "-j", _chain(wall, "DOOR")],
    ]


def jumps_v6(wall: Wall) -> list[list[str]]:
    """Where our IPv6 chain is entered."""
    rule = ["-i", f"{wall.bridges}+", "-j", _chain(wall, "OUT")]
    return [["filter", "FORWARD", *rule], ["filter", "INPUT", *rule]]


def _chain(wall: Wall, which: str) -> str:
    return f"MICRO-{wall.server}-{which}"


def _outwards(wall: Wall) -> Iterator[str]:
    """What is forwarded from our bridges. What falls out of the end goes on through the engine's own rules."""
    yield f"{_KNOWN} -j RETURN"
    for network in wall.networks:
        yield f"-i {network} -o {network} -j RETURN"
    for address in wall.name_servers:
        yield f"-d {address} -p udp --dport 53 -j RETURN"
        yield f"-d {address} -p tcp --dport 53 -j RETURN"
    for address in (*wall.control_plane, *NOT_PUBLIC):
        yield f"-d {address} {_REFUSE}"
    yield f"-p tcp --dport {MAIL_PORT} {_REFUSE}"


def _inwards(wall: Wall) -> Iterator[str]:
    """What comes from our bridges to this machine: answers, and calls through the door."""
    yield f"{_KNOWN} -j ACCEPT"
    if wall.door:
        yield f"-d {wall.door[0]} -p tcp --dport {wall.door[1]} -j ACCEPT"
    yield _REFUSE


def _door(wall: Wall) -> Iterator[str]:
    """The door's port at any address of this machine is where the service network listens."""
    if wall.door:
        host, port = wall.door
        yield f"-p tcp --dport {wall.door_port} -m addrtype --dst-type LOCAL -j DNAT --to-destination {host}:{port}"


def apply(wall: Wall) -> None:
    """Make it so that the rules are there. Raises NotWritable when they cannot be written."""
    for program, text, wanted in _programs(wall):
        _run([f"{program}-restore", "--noflush", "--wait", WAIT_S], text)
        for table, chain, *rule in wanted:
            if not _is_there(program, table, chain, rule):
                _run([program, "--wait", WAIT_S, "--table", table, "--insert", chain, "1", *rule])


def is_in_place(wall: Wall) -> bool:
    """Whether all jumps are there: what flushes rules takes those with it."""
    return all(
        _is_there(program, table, chain, rule)
        for program, _, wanted in _programs(wall)
        for table, chain, *rule in wanted
    )


def remove(wall: Wall) -> None:
    """Make it so that nothing of the rules is there."""
    for program, _text, wanted in _programs(wall):
        for table, chain, *rule in wanted:
            while _is_there(program, table, chain, rule):
                _run([program, "--wait", WAIT_S, "--table", table, "--delete", chain, *rule])
        for table, chain in sorted({(table, rule[-1]) for table, _chain, *rule in wanted}):
            if _is_chain(program, table, chain):
                _run([program, "--wait", WAIT_S, "--table", table, "--flush", chain])
                _run([program, "--wait", WAIT_S, "--table", table, "--delete-chain", chain])


def _programs(wall: Wall) -> Iterator[tuple[str, str, list[list[str]]]]:
    yield "iptables", restore(wall), jumps(wall)
    if os.path.exists("/proc/net/if_inet6"):  # noqa: PTH110 - not a file of ours
        yield "ip6tables", restore_v6(wall), jumps_v6(wall)


def _is_there(program: str, table: str, chain: str, rule: Iterable[str]) -> bool:
    return _status([program, "--wait", WAIT_S, "--table", table, "--check", chain, *rule]) == 0


def _is_chain(program: str, table: str, chain: str) -> bool:
    return _status([program, "--wait", WAIT_S, "--table", table, "--list-rules", chain]) == 0


def _status(argv: Sequence[str]) -> int:
    return _execute(argv, "").returncode


def _run(argv: Sequence[str], text: str = "") -> None:
    done = _execute(argv, text)
    if done.returncode != 0:
        first_line = next(iter((done.stderr or done.stdout).strip().splitlines()), f"status {done.returncode}")
        raise NotWritable(f"{argv[0]}: {first_line}")


def _execute(argv: Sequence[str], text: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which(argv[0], path=PATH)
    if program is None:
        raise NotWritable(f"{argv[0]} is not installed")
    env = {"PATH": PATH}
    return subprocess.run(
        [program, *argv[1:]], input=text, capture_output=True, text=True, check=False, env=env, timeout=30
    )
