from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AddToBlockListRequest(_message.Message):
    __slots__ = ("id", "namespace")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    id: str
    namespace: str
    def __init__(self, id: _Optional[str] = ..., namespace: _Optional[str] = ...) -> None: ...

class AddToBlockListResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EmptyResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Endpoint(_message.Message):
    __slots__ = ("name", "host", "path", "method", "stream")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    name: str
    host: _containers.RepeatedScalarFieldContainer[str]
    path: _containers.RepeatedScalarFieldContainer[str]
    method: _containers.RepeatedScalarFieldContainer[str]
    stream: bool
    def __init__(self, name: _Optional[str] = ..., host: _Optional[_Iterable[str]] = ..., path: _Optional[_Iterable[str]] = ..., method: _Optional[_Iterable[str]] = ..., stream: bool = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("name", "id", "timestamp", "header", "data")
    class HeaderEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Pair
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Pair, _Mapping]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    id: str
    timestamp: int
    header: _containers.MessageMap[str, Pair]
    data: str
    def __init__(self, name: _Optional[str] = ..., id: _Optional[str] = ..., timestamp: _Optional[int] = ..., header: _Optional[_Mapping[str, Pair]] = ..., data: _Optional[str] = ...) -> None: ...

class Pair(_message.Message):
    __slots__ = ("key", "values")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    key: str
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, key: _Optional[str] = ..., values: _Optional[_Iterable[str]] = ...) -> None: ...

class ReadBlockListRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReadBlockListResponse(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ids: _Optional[_Iterable[str]] = ...) -> None: ...

class RemoveFromBlockListRequest(_message.Message):
    __slots__ = ("id", "namespace")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    id: str
    namespace: str
    def __init__(self, id: _Optional[str] = ..., namespace: _Optional[str] = ...) -> None: ...

class RemoveFromBlockListResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Request(_message.Message):
    __slots__ = ("method", "path", "header", "get", "post", "body", "url")
    class HeaderEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Pair
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Pair, _Mapping]] = ...) -> None: ...
    class GetEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Pair
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Pair, _Mapping]] = ...) -> None: ...
    class PostEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Pair
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Pair, _Mapping]] = ...) -> None: ...
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    GET_FIELD_NUMBER: _ClassVar[int]
    POST_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    method: str
    path: str
    header: _containers.MessageMap[str, Pair]
    get: _containers.MessageMap[str, Pair]
    post: _containers.MessageMap[str, Pair]
    body: str
    url: str
    def __init__(self, method: _Optional[str] = ..., path: _Optional[str] = ..., header: _Optional[_Mapping[str, Pair]] = ..., get: _Optional[_Mapping[str, Pair]] = ..., post: _Optional[_Mapping[str, Pair]] = ..., body: _Optional[str] = ..., url: _Optional[str] = ...) -> None: ...

class Response(_message.Message):
    __slots__ = ("statusCode", "header", "body")
    class HeaderEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Pair
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Pair, _Mapping]] = ...) -> None: ...
    STATUSCODE_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    statusCode: int
    header: _containers.MessageMap[str, Pair]
    body: str
    def __init__(self, statusCode: _Optional[int] = ..., header: _Optional[_Mapping[str, Pair]] = ..., body: _Optional[str] = ...) -> None: ...
