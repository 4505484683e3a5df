"""The doors with a certificate: a real Envoy speaks TLS with it, and with the next one without being restarted."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from envoy.config.listener.v3 import listener_pb2

from gateway import certificates, snapshot
from gateway.certificates import BadCertificate, Files
from gateway.resources import LISTENER, SECRET
from gateway.state import Service
from tests.certificates import Authority

from .backends import Http
from .harness import Gateway, wait_until
from .test_snapshot import STATE

FOO = {"micro-namespace": "foo"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def files(path: Path) -> Files:
    return Files(path, path.with_suffix(".key"))


def read(path: Path) -> certificates.Certificate:
    return certificates.read(files(path), at=datetime.now(UTC))


@pytest.fixture
def secured(authority: Authority) -> Iterator[Gateway]:
    gateway = Gateway()
    gateway.state = replace(gateway.state, doors=replace(gateway.doors, is_secure=True))
    try:
        gateway.start()
        assert gateway.control
        gateway.control.certify(certificates.resource(read(authority.issue())))
        yield gateway
    finally:
        gateway.close()


def serial(gateway: Gateway, authority: Authority, door: str = "api") -> int:
    """Of the certificate that a door shows; raises SSLError when the authority did not sign it."""
    context = ssl.create_default_context(cafile=str(authority.file))
    context.set_alpn_protocols(["h2"])
    address = getattr(gateway.doors, door)
    with (
        socket.create_connection(address, 5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.selected_alpn_protocol() == "h2"
        shown = secure.getpeercert()
        assert shown
        return int(str(shown["serialNumber"]), 16)


def test_the_doors_speak_tls_and_without_it_with_this_machine(secured: Gateway, authority: Authority, site: Http):
    secured.serve(Service("foo", "web", "http", (site.endpoint,)))
    trusting = ssl.create_default_context(cafile=str(authority.file))
    url = f"https://localhost:{secured.doors.api[1]}/web/get"
    assert httpx.get(url, headers=FOO, verify=trusting, trust_env=False).status_code == 200
    assert secured.get("/web/get", headers=FOO).status_code == 200
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(url, headers=FOO, trust_env=False)
    assert serial(secured, authority, "proxy") == serial(secured, authority, "api")


def test_a_new_certificate_is_served_without_losing_a_connection(secured: Gateway, authority: Authority, site: Http):
    secured.serve(Service("foo", "web", "http", (site.endpoint,)))
    before = serial(secured, authority)
    with httpx.Client(verify=ssl.create_default_context(cafile=str(authority.file)), trust_env=False) as kept:
        url = f"https://localhost:{secured.doors.api[1]}/web/get"
        assert kept.get(url, headers=FOO).status_code == 200
        assert secured.control
        secured.control.certify(certificates.resource(read(authority.issue("next"))))
        wait_until(lambda: serial(secured, authority) != before, "the new one is served")
        assert kept.get(url, headers=FOO).status_code == 200


def test_only_the_outer_doors_ask_for_tls_of_who_is_not_on_this_machine():
    built = snapshot.build(replace(STATE, doors=replace(STATE.doors, is_secure=True)))
    for name, resource in built[LISTENER].items():
        chains = listener_pb2.Listener.FromString(resource.value).filter_chains
        matches = [(each.filter_chain_match.transport_protocol, each.filter_chain_match.source_type) for each in chains]
        outer = [("tls", 0), ("raw_buffer", 1)]  # 1: the same machine
        assert matches == (outer if name in ("api", "proxy") else [("", 0)])


def test_what_cannot_be_served_is_refused_by_name(authority: Authority, tmp_path: Path):
    good, other = authority.issue("good"), authority.issue("other")
    old = authority.issue("old", life=timedelta(days=-1))
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    refused = {
        Files(good, other.with_suffix(".key")): "other.key is not the key of",
        files(old): "old.pem has expired on",
        Files(junk, good.with_suffix(".key")): "junk.pem is no certificate",
        Files(good, junk): "junk.pem is no private key",
        Files(tmp_path / "none.pem", junk): "none.pem cannot be read: No such file",
    }
    for pair, text in refused.items():
        with pytest.raises(BadCertificate, match=text):
            certificates.read(pair, at=datetime.now(UTC))


def test_the_key_is_neither_shown_nor_kept_with_the_configuration(authority: Authority, tmp_path: Path):
    from gateway import saved

    certificate = read(authority.issue())
    assert certificate.key not in repr(certificate)
    whole = snapshot.build(STATE).with_secret(certificates.resource(certificate))
    assert list(whole[SECRET]) == ["certificate"]
    saved.save(tmp_path / "xds", whole, made_for="here")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "xds").rglob("*") if path.is_file())
    assert b"PRIVATE KEY" not in kept


def test_files_are_followed_and_bad_ones_leave_the_last_good_one(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(certificates, "LOOK_EVERY_S", 0.01)
    file, delivered = authority.issue(), []

    async def story() -> None:
        following = asyncio.create_task(certificates.follow(files(file), delivered.append))
        await _until(lambda: len(delivered) == 1)
        file.write_text("half a certif")
        await _until(lambda: "is no certificate" in caplog.text)
        authority.issue()
        await _until(lambda: len(delivered) == 2)
        following.cancel()

    with caplog.at_level(logging.ERROR):
        asyncio.run(story())
    assert delivered[0].version != delivered[1].version


async def _until(claim) -> None:
    async with asyncio.timeout(10):
        while not claim():
            await asyncio.sleep(0.01)
