"""Joining the platform by e-mail, and a way back in: for who has no account yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import Message

from .proto import signup_pb2
from .tokens import Token

if TYPE_CHECKING:
    from .client import Client

TIMEOUT_S = 30.0  # an e-mail is sent, or a namespace made

M = TypeVar("M", bound=Message)


def request(email: str, *, client: Client) -> None:
    """Send a code to the address. Raises PermissionDenied where sign-up is closed."""
    message = signup_pb2.SendVerificationEmailRequest(email=email)
    _invoke("SendVerificationEmail", message, signup_pb2.SendVerificationEmailResponse, client)


def verify(email: str, code: str, *, client: Client) -> None:
    """Raises InvalidArgument unless the code is good; it stays good."""
    _invoke("Verify", signup_pb2.VerifyRequest(email=email, token=code), signup_pb2.VerifyResponse, client)


def complete(email: str, code: str, *, password: str, namespace: str, client: Client) -> tuple[str, Token]:
    """Make the account and its namespace; the namespace's name, and a token there.

    Raises InvalidArgument and AlreadyExists, with what is wrong, after which the code stays good.
    """
    message = signup_pb2.CompleteSignupRequest(email=email, token=code, secret=password, namespace=namespace)
    made = _invoke("CompleteSignup", message, signup_pb2.CompleteSignupResponse, client)
    given = made.authToken
    return made.namespace, Token(given.access_token, given.refresh_token, given.created, given.expiry)


def request_recovery(email: str, *, client: Client) -> None:
    """Send a code by which the password can be set anew."""
    _invoke("Recover", signup_pb2.RecoverRequest(email=email), signup_pb2.RecoverResponse, client)


def recover(email: str, code: str, *, password: str, client: Client) -> None:
    """Set the password. Raises InvalidArgument for a wrong code or a weak password."""
    message = signup_pb2.RecoverRequest(email=email, token=code, secret=password)
    _invoke("Recover", message, signup_pb2.RecoverResponse, client)


def _invoke(method: str, message: Message, returns: type[M], client: Client) -> M:
    return client.invoke("signup", f"Signup.{method}", message, returns, anonymous=True, timeout_s=TIMEOUT_S)
