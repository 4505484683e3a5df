from __future__ import annotations

import base64
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micro.errors import InvalidArgument
from micro.proto import auth_pb2, registry_pb2, store_pb2
from transport import codec

MESSAGES = st.sampled_from([store_pb2.WriteRequest, registry_pb2.Service, auth_pb2.GenerateRequest])
TEXT = st.text().filter(lambda text: "\0" not in text)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["record", "key", "value", "metadata", "nodes", "port", "options", "x"]), inner
        )
    ),
    max_leaves=8,
)


def decodes(payload, message, *, as_json) -> bool:
    """Whether it is taken; whatever is not must be an InvalidArgument."""
    try:
        return isinstance(codec.decode(payload, message, as_json=as_json), message)
    except InvalidArgument:
        return False


@given(st.binary(), MESSAGES, st.booleans())
def test_no_bytes_do_more_harm_than_an_invalid_argument(payload, message, as_json):
    assert decodes(payload, message, as_json=as_json) in (True, False)


@given(DOCUMENTS, MESSAGES)
def test_no_document_does_more_harm_than_an_invalid_argument(document, message):
    assert decodes(json.dumps(document).encode(), message, as_json=True) in (True, False)


@given(TEXT, st.binary(), st.dictionaries(TEXT, TEXT, max_size=3), st.integers(-(2**63), 2**63 - 1), st.booleans())
def test_what_is_encoded_decodes_to_itself(key, value, metadata, expiry, as_json):
    record = {"key": key, "value": value, "expiry": expiry, "metadata": {k: {"value": v} for k, v in metadata.items()}}
    message = store_pb2.WriteRequest(record=record)
    assert codec.decode(codec.encode(message, as_json=as_json), type(message), as_json=as_json) == message


@given(st.binary(min_size=1))
def test_both_alphabets_of_base64_are_taken_with_and_without_padding(value):
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for text in (encode(value).decode(), encode(value).decode().rstrip("=")):
            payload = json.dumps({"record": {"value": text}}).encode()
            assert codec.decode(payload, store_pb2.WriteRequest, as_json=True).record.value == value


def test_json_names_are_taken_in_both_spellings():
    for name in ("contentType", "content_type"):
        payload = json.dumps({"options": {name: "text/plain"}}).encode()
        taken = decodes(payload, store_pb2.BlobWriteRequest, as_json=True)
        assert taken is (name == "contentType"), "the proto's own name is the camel-case one here"
    for name in ("token_expiry", "tokenExpiry"):
        message = codec.decode(f'{{"{name}": "60"}}'.encode(), auth_pb2.TokenRequest, as_json=True)
        assert message.token_expiry == 60


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("", False),
        ("application/grpc", False),
        ("application/grpc+proto", False),
        ("application/json", True),
        ("APPLICATION/GRPC+JSON", True),
    ],
)
def test_the_content_type_decides_between_protobuf_and_json(content_type, expected):
    assert codec.is_json(content_type) is expected


@pytest.mark.parametrize("payload", [b"", b"{}", b"null"])
def test_no_json_an_empty_object_and_gos_nil_map_are_empty_requests(payload):
    assert codec.decode(payload, store_pb2.ReadRequest, as_json=True) == store_pb2.ReadRequest()


@pytest.mark.parametrize(
    ("payload", "as_json"),
    [
        (b"\x22\x00" * 200_000, False),
        (b"\x2a\x04\x22\x02\x0a\x00" * 100_000, False),
        (b'{"nodes": [' + b"{}," * 300_000 + b"{}]}", True),
        (b'{"nodes": ' + b"[" * 300_000, True),
    ],
    ids=["blank endpoints", "nested nodes", "blank objects", "nested lists"],
)
def test_a_request_of_very_many_parts_is_refused_before_anything_is_made_of_them(payload, as_json):
    tracemalloc.start()
    with pytest.raises(InvalidArgument, match="parts"):
        codec.decode(payload, registry_pb2.Service, as_json=as_json)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 << 20


def test_a_large_request_of_few_parts_is_taken():
    service = registry_pb2.Service(name="a", descriptors=b"\x0a\x00" * 2_000_000)
    assert codec.decode(service.SerializeToString(), registry_pb2.Service, as_json=False) == service
