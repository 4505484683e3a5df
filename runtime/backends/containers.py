"""What a tenant's container is given, and what it is not. Pure: from a launch to the engine's arguments."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from docker.types import LogConfig, Ulimit

from . import Launch

PORT = 8080  # where every container listens, unless its image says otherwise
NOBODY = "10001:10001"  # who runs in an image that names no user, or root
STOP_SIGNAL = "SIGTERM"
SECCOMP_IS_THE_ENGINES_OWN: tuple[str, ...] = ("no-new-privileges:true",)  # no seccomp= option: the default profile

SERVER, REPLICA, NAMESPACE, SERVICE = "micro.server", "micro.replica", "micro.namespace", "micro.service"
DEPLOYMENT, LOG, LISTENS = "micro.deployment", "micro.log", "micro.port"

MEBIBYTE = 1 << 20
PERIOD_US = 100_000
NOT_VOLUMES = {"", "proc", "sys", "dev"}  # the root, and what the kernel shows
MOST_VOLUMES = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """What one container may use."""

    memory_bytes: int = 512 * MEBIBYTE
    cpus: float = 1.0
    pids: int = 256
    open_files: int = 4096
    shared_memory_bytes: int = 64 * MEBIBYTE
    temporary_bytes: int = 64 * MEBIBYTE
    log_bytes: int = 10 * MEBIBYTE  # of each of LOG_FILES


LOG_FILES = 3


@dataclass(frozen=True, slots=True)
class Image:
    """What an image says about itself. `id` is its digest: a tag may have been moved."""

    id: str
    user: str = ""
    ports: Sequence[str] = field(default_factory=tuple)
    volumes: Sequence[str] = field(default_factory=tuple)  # folders that it declares with VOLUME

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Image:
        """From the engine's answer to an inspection."""
        config = attributes.get("Config") or {}
        ports, volumes = tuple(config.get("ExposedPorts") or ()), tuple(sorted(config.get("Volumes") or ()))
        return cls(attributes["Id"], config.get("User") or "", ports, volumes)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is the same for all containers of a namespace on one server."""

    server: str  # see `server_id`
    network: str
    proxy: str  # host:port of the service network as seen from inside
    dns: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    runtime: str = ""  # an OCI runtime such as runsc; blank is the engine's default
    is_cgroup_private: bool = True


def server_id(home: os.PathLike[str] | str) -> str:
    """A short name for the server whose state folder is `home`: two servers on one engine leave each other alone."""
    return hashlib.sha256(str(home).encode()).hexdigest()[:6]


def name(launch: Launch) -> str:
    """The container's name, derived from the rows: a second attempt finds what the first one made."""
    return f"{launch.namespace}-{launch.service}-{launch.deployment_id}-{launch.index}"


def user(image: Image) -> str:
    """The image's own user, unless that is root or nobody in particular."""
    who = image.user.partition(":")[0]
    is_root = who in {"", "root"} or re.fullmatch(r"[+-]?0+", who)  # all of them are 0 to the engine
    return NOBODY if is_root else image.user


def names_a_user(image: Image) -> bool:
    """Whether its user is a name, whose number only its own list of users knows: any name may be root's."""
    return not re.fullmatch(r"[+-]?\d+", user(image).partition(":")[0])


def port(image: Image) -> int:
    """The one TCP port that the image exposes, else the usual one."""
    exposed = [text.partition("/")[0] for text in image.ports if text.partition("/")[2] in {"", "tcp"}]
    return int(exposed[0]) if len(exposed) == 1 and exposed[0].isdigit() else PORT


def environment(launch: Launch, image: Image, around: Surroundings) -> dict[str, str]:
    """The replica's environment as it is inside: its own port on every interface, the network's gateway as the proxy.

    PATH and HOME of the machine mean nothing there: the image has its own PATH, and only /tmp can be written.
    """
    inside = {key: value for key, value in launch.env.items() if key not in {"PATH", "VIRTUAL_ENV"}}
    listening = port(image)
    return inside | {
        "HOME": "/tmp",  # noqa: S108 - the container's own
        "PORT": str(listening),
        "MICRO_SERVICE_ADDRESS": f"0.0.0.0:{listening}",
        "MICRO_PROXY": around.proxy,
    }


def labels(launch: Launch, image: Image, around: Surroundings) -> dict[str, str]:
    """By which containers are found again and adopted. No secret is in them."""
    return {
        SERVER: around.server,
        REPLICA: str(launch.replica_id),
        NAMESPACE: launch.namespace,
        SERVICE: launch.service,
        DEPLOYMENT: str(launch.deployment_id),
        LOG: str(launch.log),
        LISTENS: str(port(image)),
    }


def is_ours(attributes: Mapping[str, Any], server: str) -> bool:
    """Whether a listed container was made by this server, as its name tells, and not by a builder.

    A builder's containers have the labels of the image being built, which its Dockerfile sets; their names are the
    engine's choice. On a container that we made, our labels have replaced those of its image.
    """
    said = attributes.get("Labels") or {}
    beginning = f"/{said.get(NAMESPACE)}-{said.get(SERVICE)}-{said.get(DEPLOYMENT)}-"
    return said.get(SERVER) == server and any(
        own.startswith(beginning) and own.removeprefix(beginning).isdecimal() for own in attributes.get("Names") or ()
    )


def spec(launch: Launch, image: Image, around: Surroundings) -> dict[str, Any]:
    """Everything that the engine is told, as arguments of `containers.create`.

    What is not here is not given: no capability, device, mount of the host, published port, shared namespace.
    """
    return {
        "image": image.id,
        "name": name(launch),
        "command": list(launch.command) or None,
        "environment": environment(launch, image, around),
        "labels": labels(launch, image, around),
        "user": user(image),
        "hostname": launch.service[:63],
        "detach": True,
        "stop_signal": STOP_SIGNAL,
        **_walls(around),
        **_limits(around.limits),
        "tmpfs": _writable(image, around.limits),
        **_network(around),
    }


def _walls(around: Surroundings) -> dict[str, Any]:
    return {
        "cap_drop": ["ALL"],
        "security_opt": list(SECCOMP_IS_THE_ENGINES_OWN),
        "privileged": False,
        "read_only": True,
        "ipc_mode": "private",
        **({"cgroupns": "private"} if around.is_cgroup_private else {}),
        **({"runtime": around.runtime} if around.runtime else {}),
        "init": True,
        "restart_policy": {"Name": "no"},  # the runner starts it again, later each time
    }


def _limits(limits: Limits) -> dict[str, Any]:
    return {
        "mem_limit": limits.memory_bytes,
        "memswap_limit": limits.memory_bytes,  # the sum with swap: there is none
        **share(limits.cpus),
        "pids_limit": limits.pids,
        "ulimits": [
            Ulimit(name="nofile", soft=limits.open_files, hard=limits.open_files),
            Ulimit(name="core", soft=0, hard=0),
        ],
        "shm_size": limits.shared_memory_bytes,
        "blkio_weight": 300,
        "oom_score_adj": 500,  # when the machine itself runs out, tenants go before the platform
        "log_config": LogConfig(
            type="json-file",
            config={"max-size": str(limits.log_bytes), "max-file": str(LOG_FILES), "mode": "non-blocking"},
        ),
    }


def _writable(image: Image, limits: Limits) -> dict[str, str]:
    """Where it may write: memory of a fixed size. Over a VOLUME too: the engine puts a disk without limit there."""
    options = f"rw,noexec,nosuid,nodev,size={limits.temporary_bytes},mode=1777"
    folders = ("/tmp", *map(folder, image.volumes))  # noqa: S108 - the container's own
    return dict.fromkeys(folders, options)


def folder(volume: str) -> str:
    """Where a declared volume is, as the engine itself reads it."""
    return posixpath.normpath(f"/{volume.lstrip('/')}")


def refused_volume(image: Image) -> str:
    """The first declared volume over which nothing can be laid; blank when there is none."""
    parts = {volume: folder(volume).split("/")[1] for volume in image.volumes}
    return next((volume for volume, part in parts.items() if part in NOT_VOLUMES), "")


def share(cpus: float) -> dict[str, int]:
    """So much of the processors, as the engine is told it. Unlike `nano_cpus` it can be changed while it runs."""
    return {"cpu_period": PERIOD_US, "cpu_quota": int(cpus * PERIOD_US)}


def _network(around: Surroundings) -> dict[str, Any]:
    return {"network": around.network, **({"dns": list(around.dns)} if around.dns else {})}
