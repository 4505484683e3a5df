"""Calls by grpcio, which can all that gRPC can, and takes a while to import: where its names begin and end."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc

from . import errors
from .wire import MAX_MESSAGE_BYTES, Metadata, NotMicro, Unreachable, Untrusted, dialled, from_status, is_loopback

CODES = {errors.Status(code.value[0]): code for code in grpc.StatusCode}  # ours by grpcio's

# What grpcio says when nobody has answered, and when somebody else has.
NOT_REACHED = (
    "ailed to connect",
    "DNS resolution failed",
    "errors resolving",
    "Name resolution",
)
CUT = ("Stream removed", "Received RST_STREAM", "RST_STREAM")  # grpcio says so of calls whose other end has died
NOT_GRPC = "Received http2 header with status"
NO_HTTP2 = "Expected SETTINGS frame"
NO_TLS = "WRONG_VERSION_NUMBER"
CLOSED = ("Socket closed", "onnection reset")
# What it says when the other end's certificate will not do, and what that means; the first that fits.
_STRANGER = (
    "is signed by an authority that this machine does not know: if it is your own, name its file in MICRO_TLS_CA "
    "or with `micro env add NAME ADDRESS --ca FILE`"
)
CERTIFICATE = (
    ("certificate has expired", "has expired: its operator has to renew it"),
    ("certificate is not yet valid", "is not valid yet: look at this machine's clock"),
    ("Hostname Verification", "is for another name: reach it by the name that it has"),
    ("certificate signature failure", _STRANGER),
    ("CERTIFICATE_VERIFY_FAILED", _STRANGER),
)


class Connection:
    """Calls with encoded messages to one address. Safe to share between threads; dials at the first call."""

    def __init__(self, address: str, *, ca: str = "") -> None:
        """`ca` is the file of an authority to trust beside those that the system knows."""
        self.address, self._secure = dialled(address)
        self._ca = ca

    @cached_property
    def _channel(self) -> grpc.Channel:
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ]
        if is_loopback(self.address):
            options.append(("grpc.enable_http_proxy", 0))
        if self._secure:
            return grpc.secure_channel(self.address, grpc.ssl_channel_credentials(_roots(self._ca)), options)
        return grpc.insecure_channel(self.address, options)

    def unary(self, path: str, request: bytes, *, metadata: Metadata, timeout_s: float | None) -> bytes:
        call = self._channel.unary_unary(path, None, None)
        with self._translating():
            reply: bytes = call(request, timeout=timeout_s, metadata=metadata)
            return reply

    def stream(
        self, path: str, requests: Iterable[bytes], *, metadata: Metadata, timeout_s: float | None = None
    ) -> Stream:
        """Replies as they come. Every stream is opened in both directions, whatever the method declares."""
        call = self._channel.stream_stream(path, None, None)
        with self._translating():
            return Stream(call(iter(requests), timeout=timeout_s, metadata=metadata), self._translating)

    def close(self) -> None:
        if "_channel" in self.__dict__:
            self._channel.close()

    @contextlib.contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise self._translated(error) from None

    def _translated(self, error: grpc.RpcError) -> errors.Error:
        text = error.details() or ""
        if NO_HTTP2 in text:
            return NotMicro(self.address)
        if error.code() is grpc.StatusCode.UNAVAILABLE and any(sign in text for sign in NOT_REACHED):
            return self._not_trusted(text) or Unreachable(self.address)
        if text.startswith(CUT):
            return errors.Unavailable(f"The connection to {self.address} was cut.")
        if NOT_GRPC in text:
            return errors.Unavailable(f"What answers at {self.address} is no micro server.")
        trailers = tuple((item.key, item.value) for item in error.trailing_metadata() or ())
        return from_status(errors.Status(error.code().value[0]), text, trailers)

    def _not_trusted(self, text: str) -> Untrusted | None:
        """What is wrong with the server's TLS, if that is why it was not reached."""
        if self._secure and (found := next((meaning for sign, meaning in CERTIFICATE if sign in text), None)):
            return Untrusted(self.address, f"The certificate of {self.address} {found}.")
        if self._secure and NO_TLS in text:
            return Untrusted(
                self.address, f"{self.address} does not speak TLS: if that is meant, say http://{self.address}."
            )
        if not self._secure and any(sign in text for sign in CLOSED):
            why = f"{self.address} closes the connection: if it speaks TLS, say https://{self.address}."
            return Untrusted(self.address, why)
        return None


class Stream(Iterator[bytes]):
    """The replies of a call under way. Whoever closes it, in whatever thread, ends the call."""

    def __init__(self, call: Any, translating: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._call, self._translating = call, translating

    def __next__(self) -> bytes:
        try:
            with self._translating():
                reply: bytes = next(self._call)
        except BaseException:
            self.close()
            raise
        return reply

    def close(self) -> None:
        self._call.cancel()

    def __del__(self) -> None:
        self.close()


def _roots(ca: str) -> bytes | None:
    """The authorities that may sign a server's certificate; None means those that come with grpcio.

    Raises InvalidArgument when the file of one's own cannot be read.
    """
    file = ssl.get_default_verify_paths().cafile  # or SSL_CERT_FILE
    system = Path(file).read_bytes() if file else None
    if not ca:
        return system
    try:
        ssl.create_default_context(cafile=ca)
        own = Path(ca).read_bytes()
    except (OSError, ssl.SSLError) as error:
        why = error.strerror if not isinstance(error, ssl.SSLError) else "it holds no certificate in PEM"
        raise errors.InvalidArgument(f"The authority {ca} cannot be used: {why}.") from None
    return own + b"\n" + (system or b"")
