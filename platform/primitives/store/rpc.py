"""store.Store: Micro 3's calls, and ours with fields from 100 on."""

from __future__ import annotations

from collections.abc import AsyncIterator

from micro.errors import InvalidArgument, ResourceExhausted
from micro.proto import store_pb2
from tenants.access.actors import needs, reach, require_own
from tenants.access.permissions import Permission, Reach
from tenants.access.roles import service_of
from transport.callers import Account, Caller, authorize, require_account
from transport.methods import server_stream, unary

from . import operations, records
from .records import Place, Record, Selection

Options = store_pb2.ReadOptions | store_pb2.WriteOptions | store_pb2.DeleteOptions

DEFAULT_TABLE = "micro"
MAX_NAME_BYTES = 1024
MAX_VALUE_BYTES = 4 * 1024 * 1024
MAX_METADATA_BYTES = 64 * 1024
MAX_EXPIRY_S = 9_223_372_036  # the longest duration that Micro's own clients can say: 292 years
MAX_KEYS_BYTES = 3 * 1024 * 1024  # of one message: Micro's clients take 4 MiB and read but one


async def read(request: store_pb2.ReadRequest, caller: Caller) -> store_pb2.ReadResponse:
    """The record under a key, or those whose keys begin or end with it."""
    options = request.options
    if options.prefix or options.suffix:
        found = await records.find(
            namespace=authorize(caller, options.database),
            table=_table(caller, options.table, Permission.STORE_READ),
            selection=_selection(
                options,
                prefix=request.key if options.prefix else "",
                suffix=request.key if options.suffix else "",
            ),
        )
    else:
        found = [await records.read(_place(caller, Permission.STORE_READ, options, request.key))]
    return store_pb2.ReadResponse(records=map(_message, found))


async def write(request: store_pb2.WriteRequest, caller: Caller) -> store_pb2.WriteResponse:
    """Store a record, or replace it whole."""
    if not request.HasField("record"):
        raise InvalidArgument("no record specified")
    options = request.options
    version = await operations.write(
        operations.Write(
            place=_place(caller, Permission.STORE_WRITE, options, request.record.key),
            value=_value(request.record.value),
            expiry_s=_expiry_s(request.record.expiry),
            metadata=_metadata(request.record),
            expected_version=options.expected_version if options.HasField("expected_version") else None,
        )
    )
    return store_pb2.WriteResponse(version=version)


async def delete(request: store_pb2.DeleteRequest, caller: Caller) -> store_pb2.DeleteResponse:
    """Remove a record; one that is not there is no error."""
    options = request.options
    await operations.delete(
        operations.Delete(
            place=_place(caller, Permission.STORE_WRITE, options, request.key),
            expected_version=options.expected_version if options.HasField("expected_version") else None,
        )
    )
    return store_pb2.DeleteResponse()


async def list_keys(request: store_pb2.ListRequest, caller: Caller) -> AsyncIterator[store_pb2.ListResponse]:
    """One message with all keys; only what does not fit comes in further ones."""
    options = request.options
    pages = records.keys(
        namespace=authorize(caller, options.database),
        table=_table(caller, options.table, Permission.STORE_READ),
        selection=_selection(options, prefix=options.prefix, suffix=options.suffix),
    )
    keys: list[str] = []
    size_bytes = 0
    async for page in pages:
        for key in page:
            size_bytes += len(key.encode()) + 4
            if size_bytes > MAX_KEYS_BYTES:
                yield store_pb2.ListResponse(keys=keys)
                keys, size_bytes = [], len(key.encode()) + 4
            keys.append(key)
    yield store_pb2.ListResponse(keys=keys)


async def databases(_request: store_pb2.DatabasesRequest, _caller: Caller) -> store_pb2.DatabasesResponse:
    """The namespaces that store something; for admins of the platform's namespace alone."""
    return store_pb2.DatabasesResponse(databases=await records.namespaces())


async def tables(request: store_pb2.TablesRequest, caller: Caller) -> store_pb2.TablesResponse:
    """The tables of a database that hold a record, of those that the caller may read."""
    namespace, account = authorize(caller, request.database), require_account(caller)
    found = await records.tables(namespace=namespace)
    if reach(account, Permission.STORE_READ) is not Reach.ALL:
        found = [name for name in found if name == _own_table(account)]
    return store_pb2.TablesResponse(tables=found)


METHODS = {
    "Store.Read": unary(
        read, request=store_pb2.ReadRequest, response=store_pb2.ReadResponse, scope=needs(Permission.STORE_READ)
    ),
    "Store.Write": unary(
        write, request=store_pb2.WriteRequest, response=store_pb2.WriteResponse, scope=needs(Permission.STORE_WRITE)
    ),
    "Store.Delete": unary(
        delete, request=store_pb2.DeleteRequest, response=store_pb2.DeleteResponse, scope=needs(Permission.STORE_WRITE)
    ),
    "Store.List": server_stream(
        list_keys, request=store_pb2.ListRequest, response=store_pb2.ListResponse, scope=needs(Permission.STORE_READ)
    ),
    "Store.Databases": unary(
        databases,
        request=store_pb2.DatabasesRequest,
        response=store_pb2.DatabasesResponse,
        scope=needs(Permission.PLATFORM_OPERATE),
    ),
    "Store.Tables": unary(
        tables, request=store_pb2.TablesRequest, response=store_pb2.TablesResponse, scope=needs(Permission.STORE_READ)
    ),
}


def _place(caller: Caller, permission: Permission, options: Options, key: str) -> Place:
    namespace = authorize(caller, options.database)
    table = _table(caller, options.table, permission)
    if not key:
        raise InvalidArgument("Missing key")
    _require_short("key", key)
    return Place(namespace, table, key)


def _table(caller: Caller, name: str, permission: Permission) -> str:
    """The table that is meant. Raises PermissionDenied for one that the caller's permission does not reach."""
    _require_short("table", name)
    table, account = name or DEFAULT_TABLE, require_account(caller)
    require_own(account, permission, is_own=table == _own_table(account))
    return table


def _own_table(account: Account) -> str:
    """A service's is named like it; programs have the one where the command line reads and writes."""
    return service_of(account) or DEFAULT_TABLE


def _require_short(field: str, text: str) -> None:
    if len(text) * 4 > MAX_NAME_BYTES and len(text.encode()) > MAX_NAME_BYTES:
        raise InvalidArgument(f"The {field} is longer than {MAX_NAME_BYTES} bytes.")


def _value(value: bytes) -> bytes:
    if len(value) > MAX_VALUE_BYTES:
        raise ResourceExhausted(f"The value is larger than {MAX_VALUE_BYTES} bytes: store it as a blob.")
    return value


def _expiry_s(seconds: int) -> int:
    if not 0 <= seconds <= MAX_EXPIRY_S:
        raise InvalidArgument(f"The expiry is {seconds}: say 0 to {MAX_EXPIRY_S} seconds, 0 for ever.")
    return seconds


def _metadata(record: store_pb2.Record) -> records.Metadata:
    if not record.metadata:
        return {}
    metadata = {name: (field.type, field.value) for name, field in record.metadata.items()}
    if sum(len(name) + len(kind) + len(value) for name, (kind, value) in metadata.items()) > MAX_METADATA_BYTES:
        raise ResourceExhausted(f"The metadata is larger than {MAX_METADATA_BYTES} bytes.")
    return metadata


def _selection(options: store_pb2.ReadOptions | store_pb2.ListOptions, *, prefix: str, suffix: str) -> Selection:
    order = options.order.lower()
    if order not in ("", "asc", "desc"):
        raise InvalidArgument(f"The order is {options.order!r}: say asc or desc.")
    _require_short("prefix", prefix)
    _require_short("suffix", suffix)
    return Selection(prefix, suffix, options.limit, options.offset, order == "desc")


def _message(record: Record) -> store_pb2.Record:
    message = store_pb2.Record(key=record.key, value=record.value, expiry=record.expiry_s, version=record.version)
    for name, (kind, value) in record.metadata.items():
        message.metadata[name].type = kind
        message.metadata[name].value = value
    return message
