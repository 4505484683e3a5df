"""What runs services: settled once, before anything starts, for all processes of the server."""

from __future__ import annotations

import os

from django.conf import settings

from project import strangers
from project.profiles import LOCAL
from runtime import cgroups
from runtime.backends import bubblewrap, choice

from .errors import CannotRun
from .plan import Plan

OLDEST_ENGINE = 25  # an older one lets containers use io_uring, and has fewer of the fixes


def settle(plan: Plan) -> None:
    """Decide for one backend, in the environment of every process. Raises CannotRun where it cannot be used.

    A profile that hosts strangers wants containers behind a firewall; the local one takes what there is.
    """
    name = choice.chosen()
    if plan.profile != LOCAL and name != choice.DOCKER:
        raise CannotRun(
            f"The profile {plan.profile} runs strangers' code, which needs containers, and the backend is {name}: "
            f"start a Docker engine (`systemctl start docker`), or set MICRO_PROFILE=local."
        )
    signup_is_open = settings.MICRO_SIGNUP_IS_OPEN
    if said := strangers.refusal(signup_is_open=signup_is_open, backend=name, addresses=plan.addresses):
        raise CannotRun(said)
    os.environ["MICRO_BACKEND"] = settings.MICRO_BACKEND = name
    if name == choice.DOCKER:
        _settle_docker(plan)
    else:
        _settle_walls()


def _settle_walls() -> None:
    if settings.MICRO_BUBBLEWRAP == bubblewrap.ON and not bubblewrap.works():
        raise CannotRun(
            "MICRO_BUBBLEWRAP is on, and bubblewrap does not work here: install it (`apt-get install bubblewrap`), "
            "allow unprivileged user namespaces, or set MICRO_BUBBLEWRAP=auto."
        )
    if bubblewrap.is_used():
        os.environ["MICRO_BUBBLEWRAP"] = settings.MICRO_BUBBLEWRAP = bubblewrap.ON


def shown() -> str:
    """The decision, and what is to be known about it, in one line."""
    if settings.MICRO_BACKEND != choice.DOCKER:
        walls = ", each within walls of bubblewrap, as are their builds" if bubblewrap.is_used() else ""
        return f"services run as processes of this machine{walls}: for one trusted user; {_builds()}"
    return f"services run as containers of the Docker engine {_version()}{_kernel()}{_refusal()}"


def unwalled() -> str:
    """What it means where processes have no walls; blank where they have."""
    if settings.MICRO_BACKEND == choice.DOCKER or bubblewrap.is_used():
        return ""
    why = "MICRO_BUBBLEWRAP is off" if settings.MICRO_BUBBLEWRAP == bubblewrap.OFF else "bubblewrap does not work here"
    return (
        f"WARNING: {why}: whatever you deploy, and what its build runs, reads and writes all that this user can, the "
        "server's keys and the data of every namespace included; run only code that you trust with that"
    )


def _builds() -> str:
    """How builds in place are held to their memory."""
    how = "a control group holds them to it" if cgroups.can_hold_memory() else "they are looked at now and then"
    return f"builds may use {settings.MICRO_BUILD_MEMORY_MIB} MiB of memory ({how})"


def _settle_docker(plan: Plan) -> None:
    from runtime.backends import engine, networks

    if not engine.answers():
        raise CannotRun(
            "MICRO_BACKEND is docker, and no Docker engine answers: start one (`systemctl start docker`), "
            "or set MICRO_BACKEND=process."
        )
    door = settings.MICRO_DOCKER_DOOR or networks.engines_own(engine.client()) or ""
    os.environ["MICRO_DOCKER_DOOR"] = settings.MICRO_DOCKER_DOOR = door
    if plan.profile == LOCAL:
        return
    if settings.MICRO_UNSAFE_BUILD_HOST_NETWORK:
        raise CannotRun(
            f"MICRO_UNSAFE_BUILD_HOST_NETWORK lets builds reach this machine's own servers, which the profile "
            f"{plan.profile} refuses: unset it."
        )
    if refusal := _refusal():
        raise CannotRun(
            f"The profile {plan.profile} runs strangers' code, and cannot wall it in: {refusal.removeprefix('. ')} "
            f"Run the server as root with iptables installed, or set MICRO_PROFILE=local."
        )


def _version() -> str:
    from runtime.backends import engine

    version = str(engine.client().version()["Version"])
    is_old = int(version.partition(".")[0]) < OLDEST_ENGINE
    return f"{version} (older than {OLDEST_ENGINE}: fit for a trusted user only)" if is_old else version


def _kernel() -> str:
    """What is to be known where strangers' containers share this machine's kernel."""
    if settings.MICRO_PROFILE == LOCAL or settings.MICRO_DOCKER_RUNTIME:
        return ""
    return ". They share this machine's kernel: gVisor and MICRO_DOCKER_RUNTIME=runsc are one wall more"


def _refusal() -> str:
    from runtime.backends import walls

    return f". {found}" if (found := walls.refusal()) else ""
