"""`~/.micro/tokens`: one line for each login, in Micro 3's format; or the same in the desktop's keyring.

micro://<proxy address>/<namespace>/<account id>:<base64 of the token as JSON>
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from . import home, vault

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, what renews it, and when it was made and ends (unix seconds)."""

    access_token: str
    refresh_token: str
    created: int
    expiry: int


def read(target: home.Target) -> Token | None:
    """The token of whoever is logged in at `target`; None when nobody is."""
    key = _key(target, account(target))
    if saved := _parse(vault.read(key)) if vault.is_chosen(target.config) else _load().get(key):
        return saved
    return _from_old_config(target)


def is_anybody_logged_in() -> bool:
    """Whether there is a login for any server and namespace, but for those in a keyring."""
    return bool(_load())


def save(target: home.Target, *, account: str, token: Token) -> None:
    """Keep `token`, and remember `account` as the one logged in."""
    key = _key(target, account)
    if vault.is_chosen(target.config):
        vault.keep(key, _packed(token))
    else:
        with home.locked(_path()):
            _store(_load() | {key: token})
    if _last(target) != account:
        target.config.set(f"{target.environment}.current-user", account)


def renew(target: home.Target, token: Token) -> bool:
    """Keep a newer token of whoever is logged in; False where it is not known who that is."""
    name = account(target)
    if name:
        save(target, account=name, token=token)
    return bool(name)


@contextlib.contextmanager
def renewing() -> Iterator[None]:
    """One process at a time renews; where nothing can be written, each does for itself."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(home.locked(_path().with_name("tokens.renewal")))
        yield


def remove(target: home.Target) -> None:
    """Forget whoever is logged in at `target`."""
    name = account(target)
    if vault.is_chosen(target.config):
        vault.forget(_key(target, name))
    with home.locked(_path()):
        kept = _load()
        if kept.pop(_key(target, name), None):
            _store(kept)
    for old in ("token", "refresh-token", "expiry"):
        if target.config.get(f"micro.auth.{target.environment}.{old}"):
            target.config.set(f"micro.auth.{target.environment}.{old}", "")
    if name:
        target.config.set(f"{target.environment}.current-user", "")


def account(target: home.Target) -> str:
    """The id of whoever is logged in; blank for nobody, and for who is known by an old config file alone.

    In an environment that is whoever logged in last, but in a namespace where they have not, the one who has.
    """
    last = _last(target)
    if not last or vault.is_chosen(target.config):
        return last
    here = _key(target, "")
    known = [key.removeprefix(here) for key in _load() if key.startswith(here)]
    return known[0] if len(known) == 1 else last


def _last(target: home.Target) -> str:
    return target.config.get(f"{target.environment}.current-user")


def _path() -> Path:
    return home.folder() / "tokens"


def _key(target: home.Target, account: str) -> str:
    return f"micro://{target.address}/{target.namespace}/{account}"


def _load() -> dict[str, Token]:
    try:
        lines = home.read_text(f"{home.folder_name()}/tokens", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    return {key: token for line in lines if (key := line.rpartition(":")[0]) and (token := _parse(line))}


def _parse(line: str) -> Token | None:
    """None for a line that is damaged: a login that cannot be read is a login that is not there."""
    try:
        fields = json.loads(base64.b64decode(line.rpartition(":")[2]))
        return Token(
            fields["access_token"], fields["refresh_token"], int(fields.get("created", 0)), int(fields.get("expiry", 0))
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _store(tokens: dict[str, Token]) -> None:
    home.write_private(_path(), "".join(f"{key}:{_packed(token)}\n" for key, token in tokens.items()))


def _packed(token: Token) -> str:
    return base64.b64encode(json.dumps(asdict(token)).encode()).decode()


def _from_old_config(target: home.Target) -> Token | None:
    """Tokens were once kept in the config file."""
    prefix = f"micro.auth.{target.environment}"
    refresh = target.config.get(f"{prefix}.refresh-token")
    if not refresh:
        return None
    expiry = target.config.get(f"{prefix}.expiry")
    return Token(target.config.get(f"{prefix}.token"), refresh, 0, int(expiry) if expiry.isdigit() else 0)
