from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Error(_message.Message):
    __slots__ = ("id", "code", "detail", "status")
    ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    id: str
    code: int
    detail: str
    status: str
    def __init__(self, id: _Optional[str] = ..., code: _Optional[int] = ..., detail: _Optional[str] = ..., status: _Optional[str] = ...) -> None: ...
