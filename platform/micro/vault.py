"""Logins in the keyring of a desktop, for who chooses it: `micro user config set logins keyring`.

The package `keyring` comes with `pip install 'micro[keyring]'`. Each failure is a FailedPrecondition with the way out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import ModuleType

from .errors import FailedPrecondition
from .home import Config

CHOSEN_BY, SERVICE = "logins", "micro"
BACK = "`micro user config set logins file` keeps logins in ~/.micro/tokens instead"


def is_chosen(config: Config) -> bool:
    """Whether this user's logins are in the keyring."""
    return config.get(CHOSEN_BY) == "keyring"


def read(name: str) -> str:
    """What is kept under a name; blank for nothing."""
    with _explaining():
        return _library().get_password(SERVICE, name) or ""


def keep(name: str, text: str) -> None:
    """Keep a text under a name."""
    with _explaining():
        _library().set_password(SERVICE, name, text)


def forget(name: str) -> None:
    """Keep nothing under a name any more."""
    with _explaining():
        if _library().get_password(SERVICE, name) is not None:
            _library().delete_password(SERVICE, name)


def _library() -> ModuleType:
    try:
        import keyring
    except ImportError:
        raise FailedPrecondition(
            f"Logins are to be in the keyring, which needs a package: pip install 'micro[keyring]'; or {BACK}."
        ) from None
    return keyring


@contextlib.contextmanager
def _explaining() -> Iterator[None]:
    try:
        yield
    except FailedPrecondition:
        raise
    except Exception as error:  # noqa: BLE001 - backends raise what their desktops do: D-Bus errors, cancelled dialogues
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise FailedPrecondition(f"The keyring cannot be used ({reason}); {BACK}.") from None
