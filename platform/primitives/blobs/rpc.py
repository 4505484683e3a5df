"""store.BlobStore: Micro 3's calls, and ours with fields from 100 on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from django.core.files import File

from micro.errors import InvalidArgument, NotFound, PermissionDenied, ResourceExhausted, Unauthenticated
from micro.proto import store_pb2
from tenants.access.actors import needs, reach, require_own
from tenants.access.permissions import Permission, Reach
from tenants.access.roles import service_of
from transport.callers import Caller, authorize, require_account
from transport.methods import ANYONE, client_stream, server_stream, unary
from transport.tenancy import in_tenant

from . import operations
from .models import Blob
from .operations import Description, Permit
from .storage import opened, piece
from .uploads import Upload

CHUNK_BYTES = 256 * 1024
MAX_KEY_BYTES = 1024
MAX_CONTENT_TYPE = 255
MAX_LISTED = 20_000


async def read(request: store_pb2.BlobReadRequest, caller: Caller) -> AsyncIterator[store_pb2.BlobReadResponse]:
    """A blob in pieces; the first message tells of it, too."""
    namespace, permit = await _readable(request, caller)
    blob, file = await _open(namespace, _key(request.key), permit)
    with file:
        yield store_pb2.BlobReadResponse(blob=await asyncio.to_thread(piece, file, CHUNK_BYTES), info=_info(blob))
        while chunk := await asyncio.to_thread(piece, file, CHUNK_BYTES):
            yield store_pb2.BlobReadResponse(blob=chunk)


async def write(requests: AsyncIterator[store_pb2.BlobWriteRequest], caller: Caller) -> store_pb2.BlobWriteResponse:
    """A blob in pieces; key and options are those of the first message. Nothing is kept until all has come."""
    first = await anext(requests, None)
    if first is None:
        raise InvalidArgument("No blob was sent")
    namespace, key = authorize(caller, first.options.namespace), _key(first.key)
    permit = _permit(caller, Permission.BLOBS_WRITE)
    await in_tenant(namespace, operations.require_reached, key, permit)  # before it is sent; asked again when it is
    content_type = _content_type(first.options.contentType)
    left = await in_tenant(namespace, operations.bytes_left, key)
    async with Upload() as upload:
        await upload.add(first.blob)
        async for request in requests:
            if upload.size_bytes > left:
                break
            await upload.add(request.blob)
        if upload.size_bytes > left:
            raise ResourceExhausted(
                f"The blob {key!r} is larger than the {left} bytes that are left: delete some first."
            )
        await upload.finish()
        owner = service_of(require_account(caller))
        description = Description(key, upload.size_bytes, upload.sha256, content_type, first.options.public, owner)
        blob = await in_tenant(namespace, operations.keep, description, upload.file, permit)
    return store_pb2.BlobWriteResponse(info=_info(blob))


async def delete(request: store_pb2.BlobDeleteRequest, caller: Caller) -> store_pb2.BlobDeleteResponse:
    """Remove a blob; one that is not there is no error."""
    namespace, permit = authorize(caller, request.options.namespace), _permit(caller, Permission.BLOBS_WRITE)
    await in_tenant(namespace, operations.delete, _key(request.key), permit)
    return store_pb2.BlobDeleteResponse()


async def list_keys(request: store_pb2.BlobListRequest, caller: Caller) -> store_pb2.BlobListResponse:
    """The keys in order, with what is known of each: those of the blobs that the caller may read."""
    options = request.options
    namespace, account = authorize(caller, options.namespace), require_account(caller)
    limit = min(options.limit or MAX_LISTED + 1, MAX_LISTED + 1)
    owner = "" if reach(account, Permission.BLOBS_READ) is Reach.ALL else service_of(account)
    blobs = await in_tenant(
        namespace, operations.listed, prefix=options.prefix, after=options.after, limit=limit, owner=owner
    )
    if len(blobs) > MAX_LISTED:
        raise ResourceExhausted(f"There are more than {MAX_LISTED} keys: read them in parts, with limit and after.")
    return _listing(blobs)


METHODS = {
    "BlobStore.Read": server_stream(
        read, request=store_pb2.BlobReadRequest, response=store_pb2.BlobReadResponse, scope=ANYONE
    ),
    "BlobStore.Write": client_stream(
        write,
        request=store_pb2.BlobWriteRequest,
        response=store_pb2.BlobWriteResponse,
        scope=needs(Permission.BLOBS_WRITE),
    ),
    "BlobStore.Delete": unary(
        delete,
        request=store_pb2.BlobDeleteRequest,
        response=store_pb2.BlobDeleteResponse,
        scope=needs(Permission.BLOBS_WRITE),
    ),
    "BlobStore.List": unary(
        list_keys,
        request=store_pb2.BlobListRequest,
        response=store_pb2.BlobListResponse,
        scope=needs(Permission.BLOBS_READ),
    ),
}


async def _readable(request: store_pb2.BlobReadRequest, caller: Caller) -> tuple[str, Permit]:
    """The namespace to read in, and whose blobs. A stranger may only if the blob is public, and otherwise hears nothing
    about it."""
    try:
        return authorize(caller, request.options.namespace), _permit(caller, Permission.BLOBS_READ)
    except (Unauthenticated, PermissionDenied) as refusal:
        namespace = authorize(caller, request.options.namespace, public=True)
        try:
            blob = await in_tenant(namespace, operations.find, _key(request.key))
        except NotFound:
            raise refusal from None
        if not blob.is_public:
            raise refusal from None
        return namespace, _anybodys


def _permit(caller: Caller, permission: Permission) -> Permit:
    """What refuses the blobs that the caller's permission does not reach; a service's own are those that it wrote."""
    account = require_account(caller)

    def permit(owner: str) -> None:
        require_own(account, permission, is_own=owner != "" and owner == service_of(account))

    return permit


def _anybodys(_owner: str) -> None:
    """Lets everybody in."""


async def _open(namespace: str, key: str, permit: Permit) -> tuple[Blob, File[bytes]]:
    """Raises NotFound, and what `permit` raises. One that is replaced while we look is looked up again."""
    for _ in range(3):
        blob = await in_tenant(namespace, operations.find, key)
        if not blob.is_public:
            permit(blob.owner)
        try:
            return blob, await asyncio.to_thread(opened, blob.object)
        except FileNotFoundError:
            continue
    raise NotFound("Blob not found")


def _key(key: str) -> str:
    if not key:
        raise InvalidArgument("Missing key")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise InvalidArgument(f"The key is longer than {MAX_KEY_BYTES} bytes.")
    return key


def _content_type(text: str) -> str:
    if len(text) > MAX_CONTENT_TYPE or not text.isprintable():
        raise InvalidArgument(f"The contentType is not printable, or longer than {MAX_CONTENT_TYPE} characters.")
    return text


def _listing(blobs: Iterable[Blob]) -> store_pb2.BlobListResponse:
    infos = [_info(blob) for blob in blobs]
    return store_pb2.BlobListResponse(keys=[info.key for info in infos], blobs=infos)


def _info(blob: Blob) -> store_pb2.BlobInfo:
    return store_pb2.BlobInfo(
        key=blob.key,
        size_bytes=blob.size_bytes,
        content_type=blob.content_type,
        public=blob.is_public,
        sha256=blob.sha256,
        updated=int(blob.updated_at.timestamp()),
    )
