"""Claims about codes on their way: through a real mail server, with what `MICRO_EMAIL_URL` says of it."""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core import mail
from django.test import Client
from django.utils.timezone import now
from joining import HERE, PASSWORD

from micro.errors import Unavailable
from tenants import signup
from tenants.operations import bootstrap

ROOT = Path(__file__).parents[2]
SEND = """
import django; django.setup()
from django.core.mail import send_mail
send_mail("A subject", "A body", None, ["joe@example.org"])
"""


class Inbox(Controller):
    """A mail server on a free port of loopback. `got` has what it took: sender, recipients and text."""

    def __init__(self, **options: object) -> None:
        self.got: list[tuple[str, list[str], str]] = []
        self.logged_in: list[tuple[bytes, bytes]] = []
        self.options = options
        super().__init__(self, hostname="127.0.0.1", port=0)

    def factory(self) -> SMTP:
        return SMTP(self, authenticator=self._authenticate, auth_require_tls=False, **self.options)

    async def handle_DATA(self, server: SMTP, session: object, envelope: object) -> str:
        self.got.append((envelope.mail_from, envelope.rcpt_tos, envelope.content.decode()))
        return "250 OK"

    def _trigger_server(self) -> None:
        """Ask for an answer once, as the parent does, which would ask at the port 0."""
        socket.create_connection((self.hostname, self.bound), timeout=10).close()

    def _authenticate(self, *about: object) -> AuthResult:
        given: LoginPassword = about[-1]
        self.logged_in.append((given.login, given.password))
        return AuthResult(success=given.password == b"p@ss")

    @property
    def bound(self) -> int:
        """The port that it got."""
        return int(self.server.sockets[0].getsockname()[1])


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    server = Inbox()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def smtp(settings, inbox) -> Inbox:
    """The mail server, as this process' own."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", inbox.bound
    return inbox


def send(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Send an e-mail as the web process would with these settings."""
    env = {"PATH": os.environ["PATH"], "MICRO_HOME": str(folder), "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"}
    env |= {"DJANGO_SETTINGS_MODULE": "project.settings", "MICRO_BACKEND": "process", **environment}
    return subprocess.run([sys.executable, "-c", SEND], env=env, capture_output=True, text=True, check=False)


@pytest.mark.django_db
def test_the_code_goes_through_a_mail_server_and_is_good(smtp):
    bootstrap(admin_password="micro")
    signup.request_sign_up(email="joe@example.org", at=now(), **HERE)
    ((sender, recipients, text),) = smtp.got
    assert (sender, recipients) == ("micro@localhost", ["joe@example.org"])
    assert "Subject: micro: Your code" in text
    code = re.search(r"^\s+(\d{6})\r?$", text, re.MULTILINE)
    assert code
    given = {"email": "joe@example.org", "password": PASSWORD, "namespace": "joe", "at": now(), **HERE}
    assert signup.sign_up(code=code[1], **given)[1].slug == "joe"
    assert not mail.outbox


@pytest.mark.django_db
def test_a_mail_server_that_is_away_is_told_on_the_form_which_keeps_the_address(smtp, settings):
    bootstrap(admin_password="micro")
    with socket.socket() as nobody:  # a port that is taken and does not listen
        nobody.bind(("127.0.0.1", 0))
        settings.EMAIL_PORT = nobody.getsockname()[1]
        with pytest.raises(Unavailable, match="could not be sent"):
            signup.request_sign_up(email="joe@example.org", at=now(), **HERE)
        answer = Client(headers={"host": "localhost"}).post("/signup", {"email": "joe@example.org"})
    assert answer.status_code == 503
    assert "could not be sent" in answer.content.decode()
    assert 'value="joe@example.org"' in answer.content.decode()


def test_the_setting_has_host_port_login_and_sender(inbox, tmp_path):
    url = f"smtp://robot:p%40ss@127.0.0.1:{inbox.bound}"
    done = send(tmp_path, MICRO_EMAIL_URL=url, MICRO_EMAIL_FROM="no-reply@example.org")
    assert done.returncode == 0, done.stderr
    assert inbox.logged_in == [(b"robot", b"p@ss")]
    ((sender, recipients, text),) = inbox.got
    assert (sender, recipients) == ("no-reply@example.org", ["joe@example.org"])
    assert "A body" in text


def test_tls_from_the_first_byte_is_spoken_to_who_can_prove_their_name_alone(tmp_path):
    certificate = certify("127.0.0.1", tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = Inbox()
    server.ssl_context = context
    server.start()
    try:
        url = f"smtps://127.0.0.1:{server.bound}"
        refused = send(tmp_path, MICRO_EMAIL_URL=url)
        assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
        assert not server.got
        done = send(tmp_path, MICRO_EMAIL_URL=url, SSL_CERT_FILE=str(certificate))
        assert done.returncode == 0, done.stderr
        assert len(server.got) == 1
    finally:
        server.stop()


def test_without_a_mail_server_the_last_e_mail_is_in_a_file_that_only_its_user_reads(tmp_path):
    done = send(tmp_path)
    assert "To: joe@example.org" in done.stdout
    last = tmp_path / "mail" / "latest.txt"
    assert last.read_text() == "To: joe@example.org\nSubject: A subject\n\nA body\n"
    assert last.parent.stat().st_mode & 0o077 == 0


def certify(host: str, folder: Path) -> Path:
    """A key and a certificate for the host, signed by nobody but itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    began = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(began).not_valid_after(began + datetime.timedelta(hours=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    made = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + made.public_bytes(serialization.Encoding.PEM)
    file = folder / "certificate.pem"
    file.write_bytes(text)
    return file
