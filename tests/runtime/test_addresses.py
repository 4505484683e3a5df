"""Which addresses are fetched from."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from micro.errors import InvalidArgument, Unavailable
from runtime.sources import addresses

PRIVATE = [
    *(
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",  # noqa: S104
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "100.64.0.1",
    ),
    *(
        "169.254.169.254",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ),
    *(
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
    ),
    *("64:ff9b:1::a00:1", "2002:7f00:1::", "2001:0:1::1", "100::1", "2001:db8::1"),
]
PUBLIC = ["1.1.1.1", "140.82.112.3", "2606:4700:4700::1111", "::ffff:8.8.8.8"]


def answer(monkeypatch, *found: str) -> None:
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in found]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: entries)


@pytest.mark.parametrize("text", PRIVATE)
def test_an_address_that_is_not_of_the_public_internet_is_not_public(text):
    assert not addresses.is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_of_the_public_internet_is_public(text):
    assert addresses.is_public(ipaddress.ip_address(text))


def test_a_host_with_one_private_address_among_public_ones_is_refused(monkeypatch):
    answer(monkeypatch, "140.82.112.3", "10.0.0.1")
    with pytest.raises(InvalidArgument, match=r"10\.0\.0\.1; .* the operator lists it in MICRO_GIT_ALLOW_HOSTS"):
        addresses.pin("github.com", 443)


def test_a_listed_host_may_have_a_private_address(monkeypatch, settings):
    settings.MICRO_GIT_ALLOW_HOSTS = ("git.lan",)
    answer(monkeypatch, "10.0.0.1")
    assert addresses.pin("git.lan", 443) == "10.0.0.1"


def test_a_host_that_cannot_be_resolved_is_unavailable():
    with pytest.raises(Unavailable, match=r"nowhere\.invalid"):
        addresses.pin("nowhere.invalid", 443)
