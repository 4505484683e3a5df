from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AuthToken(_message.Message):
    __slots__ = ("access_token", "refresh_token", "created", "expiry")
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REFRESH_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_FIELD_NUMBER: _ClassVar[int]
    access_token: str
    refresh_token: str
    created: int
    expiry: int
    def __init__(self, access_token: _Optional[str] = ..., refresh_token: _Optional[str] = ..., created: _Optional[int] = ..., expiry: _Optional[int] = ...) -> None: ...

class CompleteSignupRequest(_message.Message):
    __slots__ = ("email", "token", "paymentMethodID", "secret", "namespace")
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    PAYMENTMETHODID_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    email: str
    token: str
    paymentMethodID: str
    secret: str
    namespace: str
    def __init__(self, email: _Optional[str] = ..., token: _Optional[str] = ..., paymentMethodID: _Optional[str] = ..., secret: _Optional[str] = ..., namespace: _Optional[str] = ...) -> None: ...

class CompleteSignupResponse(_message.Message):
    __slots__ = ("authToken", "namespace")
    AUTHTOKEN_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    authToken: AuthToken
    namespace: str
    def __init__(self, authToken: _Optional[_Union[AuthToken, _Mapping]] = ..., namespace: _Optional[str] = ...) -> None: ...

class HasPaymentMethodRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class HasPaymentMethodResponse(_message.Message):
    __slots__ = ("has",)
    HAS_FIELD_NUMBER: _ClassVar[int]
    has: bool
    def __init__(self, has: bool = ...) -> None: ...

class RecoverRequest(_message.Message):
    __slots__ = ("email", "token", "secret")
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    email: str
    token: str
    secret: str
    def __init__(self, email: _Optional[str] = ..., token: _Optional[str] = ..., secret: _Optional[str] = ...) -> None: ...

class RecoverResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SendVerificationEmailRequest(_message.Message):
    __slots__ = ("email",)
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    email: str
    def __init__(self, email: _Optional[str] = ...) -> None: ...

class SendVerificationEmailResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetPaymentMethodRequest(_message.Message):
    __slots__ = ("email", "payment_method")
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_METHOD_FIELD_NUMBER: _ClassVar[int]
    email: str
    payment_method: str
    def __init__(self, email: _Optional[str] = ..., payment_method: _Optional[str] = ...) -> None: ...

class SetPaymentMethodResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VerifyRequest(_message.Message):
    __slots__ = ("email", "token")
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    email: str
    token: str
    def __init__(self, email: _Optional[str] = ..., token: _Optional[str] = ...) -> None: ...

class VerifyResponse(_message.Message):
    __slots__ = ("authToken", "customerID", "namespace", "message", "payment_required", "namespaces")
    AUTHTOKEN_FIELD_NUMBER: _ClassVar[int]
    CUSTOMERID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    authToken: AuthToken
    customerID: str
    namespace: str
    message: str
    payment_required: bool
    namespaces: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, authToken: _Optional[_Union[AuthToken, _Mapping]] = ..., customerID: _Optional[str] = ..., namespace: _Optional[str] = ..., message: _Optional[str] = ..., payment_required: bool = ..., namespaces: _Optional[_Iterable[str]] = ...) -> None: ...
