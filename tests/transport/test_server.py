from __future__ import annotations

import asyncio
import json

import grpc
import grpc.aio
import pytest
from google.rpc.status_pb2 import Status

from micro.proto import debug_pb2, errors_pb2, events_pb2, registry_pb2, store_pb2
from tests.transport.conftest import identify, read
from transport.methods import MethodWithoutScope, unary
from transport.server import Server

JSON = (("x-content-type", "application/grpc+json"),)
CHUNK = store_pb2.BlobWriteRequest


async def call(channel, path, payload=b"", metadata=(), **options):
    if not isinstance(payload, bytes):
        payload = payload.SerializeToString()
    return await channel.unary_unary(path)(payload, metadata=metadata, **options)


async def refusal(awaitable) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return caught.value


def detail(error: grpc.aio.AioRpcError) -> errors_pb2.Error:
    status = Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    message = errors_pb2.Error()
    assert status.details[0].Unpack(message)
    return message


@pytest.mark.parametrize("path", ["/store.Store/Read", "/any.thing.Store/Read", "/Store/Read", "/foo-bar.Store/Read"])
async def test_only_what_follows_the_last_dot_of_the_service_counts(channel, path):
    answer = store_pb2.ReadResponse.FromString(await call(channel, path, store_pb2.ReadRequest(key="k")))
    assert answer.records[0].key == "k for nobody in micro"


async def test_of_two_handlers_with_one_name_the_services_own_answers(channel):
    request = store_pb2.ListRequest(options={"limit": 2})
    frames = channel.unary_stream("/events.Store/Read")(request.SerializeToString())
    assert len([frame async for frame in frames]) == 2


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("/absent.Absent/Call", grpc.StatusCode.UNIMPLEMENTED, "unknown service Absent"),
        ("/store.Store/Absent", grpc.StatusCode.UNIMPLEMENTED, "unknown service Store.Absent"),
        ("/store", grpc.StatusCode.INVALID_ARGUMENT, 'malformed method name: "/store"'),
        ("store.Store/Read", grpc.StatusCode.INVALID_ARGUMENT, 'malformed method name: "store.Store/Read"'),
        ("/store.Store/../Read", grpc.StatusCode.INVALID_ARGUMENT, 'malformed method name: "/store.Store/../Read"'),
        ("/store%2EStore/Read", grpc.StatusCode.UNIMPLEMENTED, "unknown service store%2EStore"),
        ("/store.Store/", grpc.StatusCode.INVALID_ARGUMENT, 'malformed method name: "/store.Store/"'),
        ("//Read", grpc.StatusCode.INVALID_ARGUMENT, 'malformed method name: "//Read"'),
        ("/store.Store/Read/more", grpc.StatusCode.INVALID_ARGUMENT, 'malformed method name: "/store.Store/Read/more"'),
    ],
)
async def test_paths_that_lead_nowhere_get_the_texts_that_clients_match(channel, path, code, text):
    error = await refusal(call(channel, path))
    assert (error.code(), error.details()) == (code, text)
    stream = channel.stream_stream(path)()
    error = await refusal(stream.read())
    assert (error.code(), error.details()) == (code, text)


@pytest.mark.parametrize(
    "content_type", ["application/grpc+json", "application/json", "application/json; charset=utf-8"]
)
async def test_json_frames_are_answered_in_json_with_the_protos_own_names(channel, content_type):
    answer = json.loads(await call(channel, "/store.Store/Read", b'{"key": "k"}', [("x-content-type", content_type)]))
    record = answer["records"][0]
    assert record["key"] == "k for nobody in micro"
    assert record["value"] == "AP8="
    assert record["expiry"] == str(2**53 + 1)
    assert record["metadata"] == {}


@pytest.mark.parametrize("payload", [b"", b"{}", b"null"])  # the last is what Go makes of a map that was never made
async def test_an_empty_json_frame_is_an_empty_request(channel, payload):
    answer = json.loads(await call(channel, "/store.Store/Read", payload, JSON))
    assert answer["records"][0]["key"] == " for nobody in micro"


@pytest.mark.parametrize(
    "payload",
    [
        *(b"{", b"[]", b'"text"', b'{"unknown": 1}', b'{"key": 1}', b'{"key": NaN}', b'{"key": "\\ud800"}'),
        *(b'{"key": "a", "key": "b"}', b'{"key": "\xff"}', b'{"key": "a\\u0000b"}', b'{"key": "\x00"}'),
        *(b'{"options": {"limit": -1}}', b'{"options":' * 5000, b"[" * 100_000, '{"key": "a"}'.encode("utf-16")),
    ],
)
async def test_malformed_json_is_an_invalid_argument(channel, payload):
    error = await refusal(call(channel, "/store.Store/Read", payload, JSON))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert detail(error).code == 400


@pytest.mark.parametrize("payload", [b"\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe", b"\x0a\x03a\x00b", b"\x0b" * 300])
async def test_malformed_protobuf_is_an_invalid_argument(channel, payload):
    error = await refusal(call(channel, "/store.Store/Read", payload))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert json.loads(error.details())["code"] == 400


async def test_nul_is_refused_in_text_and_kept_in_bytes(channel):
    nested = store_pb2.ReadRequest(options={"table": "a\0b"})
    assert (await refusal(call(channel, "/store.Store/Read", nested))).code() is grpc.StatusCode.INVALID_ARGUMENT
    in_map = store_pb2.WriteRequest(record={"metadata": {"a\0": {"value": "x"}}})
    good = [("authorization", "Bearer good")]
    assert (await refusal(call(channel, "/store.Store/Write", in_map, good))).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await call(channel, "/store.Store/Write", store_pb2.WriteRequest(record={"value": b"a\0b"}), good) == b""


@pytest.mark.parametrize("text", ["a", "AP8=!", "AP8 =", "AP8==", "AP\\n8="])
async def test_base64_is_decoded_strictly(channel, text):
    payload = f'{{"record": {{"value": "{text}"}}}}'.encode()
    error = await refusal(call(channel, "/store.Store/Write", payload, [*JSON, ("authorization", "Bearer good")]))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "base64" in detail(error).detail


async def test_a_content_type_we_do_not_speak_is_named(channel):
    error = await refusal(call(channel, "/store.Store/Read", b"", [("x-content-type", "text/xml")]))
    assert detail(error).detail == "Unsupported Content-Type: text/xml"


async def test_an_error_travels_as_json_in_the_message_and_as_the_first_detail(channel):
    error = await refusal(call(channel, "/store.Store/Read", store_pb2.ReadRequest(key="absent")))
    document = {"id": "store.Store.Read", "code": 404, "detail": "No record under 'absent'.", "status": "Not Found"}
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert json.loads(error.details()) == document
    assert detail(error) == errors_pb2.Error(**document)


async def test_our_own_fault_is_logged_once_and_shows_the_caller_only_an_incident(channel, caplog):
    error = await refusal(call(channel, "/store.Store/Read", store_pb2.ReadRequest(key="broken")))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret detail" not in error.details()
    (record,) = caplog.records
    assert record.exc_info[0] is ZeroDivisionError
    assert record.args[1] in error.details()


@pytest.mark.parametrize(
    ("method", "token", "code"),
    [
        ("Write", None, grpc.StatusCode.UNAUTHENTICATED),
        ("Write", "Bearer good", None),
        ("Write", "bearer good", None),
        ("Write", "Bearer bad", grpc.StatusCode.UNAUTHENTICATED),
        ("Write", "Bearer ", grpc.StatusCode.UNAUTHENTICATED),
        ("Write", "Basic good", grpc.StatusCode.UNAUTHENTICATED),
        ("Write", "good", grpc.StatusCode.UNAUTHENTICATED),
        ("Read", "Bearer bad", grpc.StatusCode.UNAUTHENTICATED),
        ("Delete", None, grpc.StatusCode.UNAUTHENTICATED),
        ("Delete", "Bearer good", grpc.StatusCode.PERMISSION_DENIED),
        ("Delete", "Bearer admin", None),
    ],
)
async def test_a_scope_lets_in_whom_it_says(channel, method, token, code):
    metadata = [("authorization", token)] if token is not None else []
    attempt = call(channel, f"/store.Store/{method}", b"", metadata)
    if code is None:
        assert await attempt == b""
    else:
        assert (await refusal(attempt)).code() is code


async def test_the_namespace_is_the_header_else_the_accounts_own(channel):
    good = ("authorization", "Bearer good")
    for metadata, namespace in [([good], "shop"), ([good, ("micro-namespace", "micro")], "micro"), ([], "micro")]:
        answer = store_pb2.ReadResponse.FromString(await call(channel, "/store.Store/Read", b"", metadata))
        assert answer.records[0].key.endswith(f"in {namespace}")


async def test_a_server_stream_answers_a_client_that_keeps_its_side_open(channel):
    stream = channel.stream_stream("/store.Store/List")()
    await stream.write(store_pb2.ListRequest(options={"limit": 3}).SerializeToString())
    frames = [store_pb2.ListResponse.FromString(await stream.read()).keys[0] for _ in range(3)]
    assert frames == ["0", "1", "2"]
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_server_stream_speaks_json(channel):
    frames = channel.unary_stream("/store.Store/List")(b'{"options": {"limit": "2"}}', metadata=JSON)
    assert [json.loads(frame) async for frame in frames] == [{"keys": ["0"]}, {"keys": ["1"]}]


async def test_a_stream_that_fails_midway_gives_what_it_had_and_then_the_error(channel):
    request = store_pb2.ListRequest(options={"limit": 1, "prefix": "broken"})
    stream = channel.unary_stream("/store.Store/List")(request.SerializeToString())
    assert store_pb2.ListResponse.FromString(await stream.read()).keys == ["0"]
    error = await refusal(stream.read())
    assert (error.code(), detail(error).detail) == (grpc.StatusCode.NOT_FOUND, "Gone.")


async def test_a_client_stream_is_answered_once_when_the_client_is_done(channel):
    chunks = (CHUNK(blob=part).SerializeToString() for part in (b"a", b"b", b"c"))
    answer = await channel.stream_unary("/store.BlobStore/Write")(chunks)
    assert registry_pb2.Service.FromString(answer).name == "abc"


async def test_a_malformed_message_inside_a_stream_ends_it_with_an_invalid_argument(channel):
    error = await refusal(
        channel.stream_unary("/store.BlobStore/Write")(iter([CHUNK(blob=b"a").SerializeToString(), b"\xff"]))
    )
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_bidirectional_stream_answers_while_both_sides_are_open(channel):
    stream = channel.stream_stream("/events.Stream/Consume")()
    for id in ("1", "2"):
        await stream.write(events_pb2.AckRequest(id=id).SerializeToString())
        assert events_pb2.Event.FromString(await stream.read()).id == id
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF


async def test_streams_state_their_scope_too(channel):
    stream = channel.stream_stream("/store.Store/List")(metadata=[("authorization", "Bearer bad")])
    assert (await refusal(stream.read())).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_the_timeout_header_is_in_nanoseconds(socket):
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def sleep(_request, _caller):
        started.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    method = unary(
        sleep, request=debug_pb2.HealthRequest, response=debug_pb2.HealthResponse, scope=lambda _caller: None
    )
    server = grpc.aio.server()
    Server({"s": {"S.Sleep": method}}, identify=identify).mount(server)
    server.add_insecure_port(f"{socket}2")
    await server.start()
    async with grpc.aio.insecure_channel(f"{socket}2") as channel:
        error = await refusal(call(channel, "/s.S/Sleep", b"", [("timeout", "50000000")]))
        assert detail(error).code == 408
        assert cancelled.is_set()
        started.clear()
        cancelled.clear()
        pending = channel.unary_unary("/s.S/Sleep")(b"")
        await started.wait()
        pending.cancel()
        await asyncio.wait_for(cancelled.wait(), 5)
    await server.stop(None)


async def test_debug_answers_under_every_services_name(channel):
    assert debug_pb2.HealthResponse.FromString(await call(channel, "/store.Debug/Health")).status == "ok"
    await refusal(call(channel, "/store.Store/Read", store_pb2.ReadRequest(key="absent")))
    stats = debug_pb2.StatsResponse.FromString(await call(channel, "/store.Debug/Stats"))
    assert (stats.requests, stats.errors) == (3, 1)
    assert stats.memory > 1_000_000
    assert (await refusal(call(channel, "/store.Debug/Trace"))).code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_method_without_a_scope_keeps_the_server_from_being_made():
    methods = {"Store.Read": unary(read, request=store_pb2.ReadRequest, response=store_pb2.ReadResponse)}
    with pytest.raises(MethodWithoutScope, match=r"store\.Store\.Read"):
        Server({"store": methods}, identify=identify)


async def test_a_caller_has_so_many_streams_of_whatever_kind_and_another_one_once_one_has_ended(channel, settings):
    settings.MICRO_STREAMS_PER_ACCOUNT = 2
    joe, ann = ((("authorization", f"Bearer {token}"),) for token in ("good", "admin"))

    def consume(metadata):
        return channel.stream_stream("/events.Stream/Consume")(metadata=metadata)

    async def is_served(call) -> bool:
        await call.write(events_pb2.AckRequest(id="1").SerializeToString())
        return await call.read() is not grpc.aio.EOF

    open_ones = [consume(joe), channel.stream_unary("/store.BlobStore/Write")(metadata=joe)]
    assert await is_served(open_ones[0])
    await open_ones[1].write(CHUNK(blob=b"x").SerializeToString())
    refused = await refusal(is_served(consume(joe)))
    assert refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert detail(refused).detail == "Account 'joe' may have 2 streams open at a time; end one first."
    assert await is_served(consume(ann)), "another account has its own"
    assert await is_served(consume(())), "strangers do, too"
    assert (await call(channel, "/store.Store/Read", store_pb2.ReadRequest(key="k"), joe)) is not None
    open_ones[0].cancel()
    await asyncio.sleep(0.2)
    assert await is_served(consume(joe))


async def test_strangers_count_by_network_and_the_accounts_of_a_namespace_together(channel, settings):
    settings.MICRO_STREAMS_PER_ACCOUNT, settings.MICRO_DEFAULT_STREAMS = 1, 2

    async def code(*metadata: tuple[str, str]) -> str:
        stream = channel.stream_stream("/events.Stream/Consume")(metadata=metadata)
        held.append(stream)
        await stream.write(events_pb2.AckRequest(id="1").SerializeToString())
        try:
            await stream.read()
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    held: list[grpc.aio.StreamStreamCall] = []
    where = [("x-forwarded-for", address) for address in ("2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2")]
    assert [await code(each) for each in where] == ["OK", "RESOURCE_EXHAUSTED", "OK", "RESOURCE_EXHAUSTED"]
    assert await code(("authorization", "Bearer good"), ("micro-namespace", "other")) == "OK"
