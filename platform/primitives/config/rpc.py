"""config.Config: Micro 3's calls, and ours with fields from 100 on. config.Revisions: what happened to a tree."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from micro.errors import InvalidArgument, NotFound
from micro.proto import config_pb2
from tenants.access.actors import needs, require_own
from tenants.access.permissions import Permission
from tenants.access.roles import service_of
from transport.callers import Caller, authorize, require_account
from transport.methods import server_stream, unary

from . import document, operations, records, secrets
from .document import Leaf, Path, Reveal, Tree
from .records import Head, Revision
from .watching import bells

FORMAT = "json"
DEFAULT_REVISIONS = 100
REVISIONS_AT_ONCE = 100
MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_TIME_MS = 253_402_300_799_000  # the year 9999


async def get(request: config_pb2.GetRequest, caller: Caller) -> config_pb2.GetResponse:
    """The value at a path: now, or as a revision or a moment had it."""
    path = _path(caller, request.path, Permission.CONFIG_READ)
    _require_may_reveal(caller, path, request.options)
    head = await records.head(namespace=authorize(caller, request.namespace))
    is_past = request.as_of_revision or request.as_of_time
    tree = await (_past_tree(head, request) if is_past else records.tree(head))
    text = tree.text(path, reveal=_reveal(head, request.options))
    return config_pb2.GetResponse(value=config_pb2.Value(data=text, format=FORMAT), revision=tree.revision)


async def set_value(request: config_pb2.SetRequest, caller: Caller) -> config_pb2.SetResponse:
    """Merge an object, or replace a value."""
    namespace = authorize(caller, request.namespace)
    if not request.HasField("value"):
        raise InvalidArgument("invalid change")
    revision = await operations.set_value(
        namespace=namespace,
        path=_path(caller, request.path, Permission.CONFIG_WRITE),
        value=document.parse(request.value.data),
        is_secret=request.options.secret,
        by=require_account(caller).id,
    )
    return config_pb2.SetResponse(revision=revision)


async def delete(request: config_pb2.DeleteRequest, caller: Caller) -> config_pb2.DeleteResponse:
    """Remove a value or a subtree."""
    revision = await operations.delete(
        namespace=authorize(caller, request.namespace),
        path=_path(caller, request.path, Permission.CONFIG_WRITE),
        by=require_account(caller).id,
    )
    return config_pb2.DeleteResponse(revision=revision)


async def read(request: config_pb2.ReadRequest, caller: Caller) -> config_pb2.ReadResponse:
    """Get in the shape that Micro's oldest clients expect."""
    path = _path(caller, request.path, Permission.CONFIG_READ)
    namespace = authorize(caller, request.namespace)
    tree = await records.tree(await records.head(namespace=namespace))
    change_set = config_pb2.ChangeSet(data=tree.text(path), format=FORMAT)
    change = config_pb2.Change(namespace=namespace, path=request.path, changeSet=change_set)
    return config_pb2.ReadResponse(change=change)


async def list_revisions(request: config_pb2.RevisionsRequest, caller: Caller) -> config_pb2.RevisionsResponse:
    """What happened at a path, the newest first."""
    path = _path(caller, request.path, Permission.CONFIG_READ)
    head = await records.head(namespace=authorize(caller, request.namespace))
    limit = request.limit or DEFAULT_REVISIONS
    _require_number("before", request.before)
    before, answer, size_bytes = request.before or head.revision + 1, config_pb2.RevisionsResponse(), 0
    while page := await records.revisions(head, before=before, limit=REVISIONS_AT_ONCE):
        for revision in page:
            if message := _revision(revision, path):
                size_bytes += message.ByteSize()
                if len(answer.revisions) == limit or (answer.revisions and size_bytes > MAX_ANSWER_BYTES):
                    return answer
                answer.revisions.append(message)
        before = page[-1].number
    return answer


async def watch(request: config_pb2.WatchRequest, caller: Caller) -> AsyncIterator[config_pb2.WatchResponse]:
    """The value at a path now, and then after every revision that touches it, in order and without gaps.

    Who has been away for longer than revisions are kept gets the value as it is now instead of what was missed.
    """
    path = _path(caller, request.path, Permission.CONFIG_READ)
    _require_may_reveal(caller, path, request.options)
    namespace = authorize(caller, request.namespace)
    _require_number("after_revision", request.after_revision)
    last = request.after_revision or None  # None: begin with the value as it is
    with bells.get().hung(namespace) as bell:
        while True:
            bell.clear()
            head = await _head_or_none(namespace)
            if last is None or (head is not None and last + 1 < head.oldest):
                response = await _present(head, request, path)
                last = response.revision
                yield response
            found = await records.revisions(head, after=last, limit=REVISIONS_AT_ONCE) if head else []
            for revision in found:
                last = revision.number
                head = head and replace(head, revision=max(head.revision, last))  # it may be newer than the head
                if (message := _revision(revision, path)) and head:
                    yield await _past(head, request, path, message)
            if not found:
                await bell.wait()


METHODS = {
    "Config.Get": unary(
        get, request=config_pb2.GetRequest, response=config_pb2.GetResponse, scope=needs(Permission.CONFIG_READ)
    ),
    "Config.Set": unary(
        set_value, request=config_pb2.SetRequest, response=config_pb2.SetResponse, scope=needs(Permission.CONFIG_WRITE)
    ),
    "Config.Delete": unary(
        delete,
        request=config_pb2.DeleteRequest,
        response=config_pb2.DeleteResponse,
        scope=needs(Permission.CONFIG_WRITE),
    ),
    "Config.Read": unary(
        read, request=config_pb2.ReadRequest, response=config_pb2.ReadResponse, scope=needs(Permission.CONFIG_READ)
    ),
    "Revisions.List": unary(
        list_revisions,
        request=config_pb2.RevisionsRequest,
        response=config_pb2.RevisionsResponse,
        scope=needs(Permission.CONFIG_READ),
    ),
    "Revisions.Watch": server_stream(
        watch, request=config_pb2.WatchRequest, response=config_pb2.WatchResponse, scope=needs(Permission.CONFIG_READ)
    ),
}


def _path(caller: Caller, text: str, permission: Permission) -> Path:
    """The path that is meant. Raises PermissionDenied for one that the caller's permission does not reach."""
    path = document.parse_path(text)
    require_own(require_account(caller), permission, is_own=_is_own(caller, path))
    return path


def _require_may_reveal(caller: Caller, path: Path, options: config_pb2.Options) -> None:
    if options.secret:
        require_own(require_account(caller), Permission.SECRETS_READ, is_own=_is_own(caller, path))


def _is_own(caller: Caller, path: Path) -> bool:
    """Whether it lies in the subtree that is named like the calling service. One with a dot in its name has none: its
    subtree would be part of another's."""
    return bool(path) and path[0] != "" and path[0] == service_of(require_account(caller))


async def _past_tree(head: Head, request: config_pb2.GetRequest) -> Tree:
    if request.as_of_revision and request.as_of_time:
        raise InvalidArgument("Say as_of_revision or as_of_time, not both.")
    if not 0 <= request.as_of_time <= MAX_TIME_MS:
        raise InvalidArgument(f"as_of_time is {request.as_of_time}: say unix milliseconds.")
    _require_number("as_of_revision", request.as_of_revision)
    if request.as_of_time:
        until = datetime.fromtimestamp((request.as_of_time + 1) / 1000, tz=UTC)
        return await records.tree_as_of(head, revision=await records.last_before(head, until=until))
    return await records.tree_as_of(head, revision=request.as_of_revision)


def _require_number(field: str, number: int) -> None:
    if number < 0:
        raise InvalidArgument(f"{field} is {number}: revisions begin with 1.")


async def _head_or_none(namespace: str) -> Head | None:
    try:
        return await records.head(namespace=namespace)
    except NotFound:
        return None


async def _present(head: Head | None, request: config_pb2.WatchRequest, path: Path) -> config_pb2.WatchResponse:
    """The value as it is; before anything was set, `null` of revision 0."""
    if head is None:
        return config_pb2.WatchResponse(value=config_pb2.Value(data="null", format=FORMAT))
    tree = await records.tree(head)
    text = tree.text(path, reveal=_reveal(head, request.options))
    return config_pb2.WatchResponse(value=config_pb2.Value(data=text, format=FORMAT), revision=tree.revision)


async def _past(
    head: Head, request: config_pb2.WatchRequest, path: Path, change: config_pb2.Revision
) -> config_pb2.WatchResponse:
    is_last = change.number == head.revision
    tree = await records.tree(head) if is_last else await records.tree_as_of(head, revision=change.number)
    if tree.revision != change.number:
        tree = await records.tree_as_of(head, revision=change.number)
    text = tree.text(path, reveal=_reveal(head, request.options))
    value = config_pb2.Value(data=text, format=FORMAT)
    return config_pb2.WatchResponse(value=value, revision=change.number, change=change)


def _reveal(head: Head, options: config_pb2.Options) -> Reveal | None:
    if not options.secret:
        return None

    def reveal(path: Path, leaf: Leaf) -> str:
        if leaf.sealed is None:
            return leaf.value
        return secrets.unseal(leaf.sealed, namespace_id=head.namespace_id, path=path)

    return reveal


def _revision(revision: Revision, path: Path) -> config_pb2.Revision | None:
    """The revision as a message, if it touched `path`; secrets stay masked."""
    changes = [change for change in revision.changes if document.overlap(change.path, path)]
    if not changes:
        return None
    return config_pb2.Revision(
        number=revision.number,
        time=int(revision.at.timestamp() * 1000),
        by=revision.by,
        action=revision.action,
        path=".".join(revision.path),
        changes=_changes(changes),
    )


def _changes(changes: Sequence[records.Change]) -> list[config_pb2.LeafChange]:
    return [
        config_pb2.LeafChange(
            path=".".join(change.path),
            before=change.before.shown if change.before else "",
            after=change.after.shown if change.after else "",
        )
        for change in changes
    ]
