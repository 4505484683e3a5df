"""Calling the method that is meant, and printing what comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from micro.cli.failures import Failure

from . import requests
from .endpoints import Endpoint
from .flags import Flags

if TYPE_CHECKING:
    from micro.client import Client

OUTPUTS = ("json", "raw")


def call(client: Client, service: str, endpoint: Endpoint, flags: Flags) -> None:
    """Print the answer, or each message of a stream as it comes."""
    chosen = {name: values[-1] for name, values in flags.options.items()}
    output = chosen.get("output", "json")
    if output not in OUTPUTS:
        raise Failure(f"Invalid value for --output: {output!r} is neither json nor raw")
    for reply in _replies(client, service, endpoint, flags, chosen.get("request_timeout", "")):
        click.echo(shown(reply, output))


def _replies(client: Client, service: str, endpoint: Endpoint, flags: Flags, timeout: str) -> Iterator[dict[str, Any]]:
    from micro.cli.services import REQUEST_TIMEOUT, seconds

    if not (endpoint.streams_in or endpoint.streams_out):
        timeout_s = seconds(timeout or REQUEST_TIMEOUT)
        yield client.call(service, endpoint.name, requests.one(endpoint, flags), timeout_s=timeout_s)
        return
    sent = requests.several(flags) if endpoint.streams_in else requests.one(endpoint, flags)
    yield from client.stream(service, endpoint.name, sent, timeout_s=seconds(timeout) if timeout else None)


def shown(reply: dict[str, Any], output: str) -> str:
    """A message as JSON: indented by tabs, or raw on one line."""
    return json.dumps(reply, indent=None if output == "raw" else "\t", ensure_ascii=False)
