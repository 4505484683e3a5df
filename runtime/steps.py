"""The way of a deployment as people are shown it: which steps are done, which is under way, which failed."""

from __future__ import annotations

from dataclasses import dataclass

from .models import Deployment

_STEPS = {"fetching": "Fetch", "detecting": "Detect", "building": "Build", "starting": "Start", "switching": "Switch"}


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `mark` is done, now, failed or blank."""

    label: str
    mark: str


def of(state: str, *, has_release: bool) -> list[Step]:
    """The steps of a deployment in `state`; one that failed did so before or after its release was made."""
    names = list(_STEPS)
    if state == Deployment.State.FAILED and not has_release:
        return [Step("Fetch and build", "failed"), *(Step(_STEPS[name], "") for name in names[3:]), Step("Live", "")]
    if state == Deployment.State.SUPERSEDED:
        return [Step("Superseded by a later deployment", "done")]
    if state == Deployment.State.CANCELLED:
        return [Step("Cancelled", "")]
    now = {"queued": -1, "live": len(names), "failed": 3}.get(state, names.index(state) if state in names else -1)
    marks = ["done" if index < now else "now" if index == now else "" for index in range(len(names))]
    if state == Deployment.State.FAILED:
        marks[now] = "failed"
    shown = [Step(label, mark) for label, mark in zip(_STEPS.values(), marks, strict=True)]
    queued = Step("Queued", "now" if state == Deployment.State.QUEUED else "done")
    return [queued, *shown, Step("Live", "done" if state == Deployment.State.LIVE else "")]
