"""REST plumbing for every room's api.py: endpoints that declare their scope, strict input, problems."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar, cast

from django.http import HttpResponse, QueryDict
from drf_spectacular.utils import OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from micro.errors import (
    Error,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)

from .callers import ANYONE, Account, Caller, Scope

LARGEST_BODY_BYTES = 1 << 20
EVENT_STREAM = "text/event-stream"
PROBLEM = "application/problem+json"

Method = TypeVar("Method", bound=Callable[..., Any])


class BodyTooLarge(InvalidArgument):
    """The body is larger than anything that is read here."""

    http = 413

    def __init__(self, limit_bytes: int = LARGEST_BODY_BYTES) -> None:
        super().__init__(f"The body is larger than {limit_bytes >> 10} KiB.")


class Scoped(BasePermission):
    """Lets in whom the endpoint's scope and that of the method lets in."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Raises as the scopes do."""
        caller = Caller(account=request.user)
        type(view).scope(caller)
        scope = getattr(getattr(view, (request.method or "").lower(), None), "scope", None)
        if scope is not None:
            scope(caller)
        return True


class AlwaysJson(BaseContentNegotiation):
    """Answers JSON whatever the caller would rather have: a refusal would help nobody."""

    def select_parser(self, request: Request, parsers: Iterable[Any]) -> Any:
        """The parser of the request's content type."""
        return next((parser for parser in parsers if _is_json(request.content_type)), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """The one renderer."""
        return renderers[0], renderers[0].media_type


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


class Json(JSONParser):
    """JSON of a bounded size; nesting so deep that the parser gives up is the caller's mistake, too."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """The document. Raises BodyTooLarge, and ParseError for one that is none."""
        body = stream.read(LARGEST_BODY_BYTES + 1)
        if len(body) > LARGEST_BODY_BYTES:
            raise BodyTooLarge
        try:
            return json.loads(body.decode(), parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise ParseError(f"The body is no JSON: {str(error)[:200]}.") from None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")


class EndpointWithoutScope(TypeError):
    """Somebody forgot to say who may call an endpoint: our own mistake."""


class Endpoint(APIView):
    """A view that says who may call it at all, and by `describe` which method needs what. No scope, no start."""

    scope: ClassVar[Scope | None] = None

    http_method_names: tuple[str, ...] = ("get", "post", "delete", "head")
    permission_classes = (Scoped,)
    parser_classes = (Json,)
    content_negotiation_class = AlwaysJson

    @classmethod
    def as_view(cls, **options: Any) -> Any:
        """The view; raises EndpointWithoutScope, for a method as well unless all of it is for ANYONE."""
        methods = [name for name in ("get", "post", "put", "patch", "delete") if hasattr(cls, name)]
        bare = [name for name in methods if getattr(getattr(cls, name), "scope", None) is None]
        if cls.scope is None or (bare and cls.scope is not ANYONE):
            raise EndpointWithoutScope(f"{cls.__qualname__} {' '.join(bare)}")
        return super().as_view(**options)


def account(request: Request) -> Account:
    """Who calls; the endpoint's scope has seen to it that somebody does."""
    return cast("Account", request.user)


class Input(serializers.Serializer):
    """What a caller sends. A name that it does not know is refused: it would be a typing mistake."""

    def to_internal_value(self, data: Any) -> Any:
        """The validated values."""
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, Mapping) else []
        if unknown:
            raise serializers.ValidationError({str(name)[:100]: ["There is no such field."] for name in unknown[:20]})
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """A string, kept exactly as it was sent; numbers and booleans are none."""

    def __init__(self, **options: Any) -> None:
        least = {} if options.get("allow_blank") else {"min_length": 1}  # for the description, too
        super().__init__(**{"trim_whitespace": False, **least, **options})

    def to_internal_value(self, data: Any) -> str:
        """The string."""
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class Number(serializers.IntegerField):
    """A JSON number without a fraction; strings and booleans are none."""

    def to_internal_value(self, data: Any) -> int:
        """The number."""
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return int(super().to_internal_value(data))


def parse(kind: type[serializers.Serializer], data: Any) -> dict[str, Any]:
    """The validated values of a body or a query; raises DRF's ValidationError, which names each field at fault."""
    if isinstance(data, QueryDict):
        if twice := [name for name, values in data.lists() if len(values) > 1]:
            raise serializers.ValidationError({name[:100]: ["It is given more than once."] for name in twice[:20]})
        data = data.dict()
    serializer = kind(data=data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


class Problem(serializers.Serializer):
    """What went wrong (RFC 9457). `type` is stable; `errors` has the reasons by field when the input is at fault."""

    type = serializers.CharField(help_text="urn:micro:error:<kind>, stable")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="A sentence for the person who caused it.")
    errors = serializers.DictField(child=serializers.ListField(child=serializers.CharField()), required=False)


class EventDocument(serializers.Serializer):
    """One server-sent event."""

    event = serializers.CharField()
    data = serializers.CharField(help_text="JSON: what the event is about.")


def following(request: Request, after: object) -> str:
    """The address of the page that begins after the row `after`."""
    query = request.query_params.copy()
    query["after"] = str(after)
    url: str = request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
    return url


def listed(kind: type[serializers.Serializer]) -> serializers.Serializer:
    """The description of a page of rows of one kind."""
    fields = {
        "items": kind(many=True),
        "next": serializers.URLField(allow_null=True, help_text="The page after this one, if there is one."),
    }
    return inline_serializer(name=f"{kind.__name__}Page", fields=fields)


def describe(  # noqa: PLR0913 - what a method of the API is
    id: str,
    scope: Scope,
    *,
    query: type[serializers.Serializer] | None = None,
    body: type[serializers.Serializer] | None = None,
    answer: Any = None,
    status: int = 200,
    errors: Iterable[type[Error]] = (),
) -> Callable[[Method], Method]:
    """Put a method into the API's description, the docstring of the method being its text, and say who may call it."""
    always: list[type[Error]] = [InvalidArgument, Unauthenticated, PermissionDenied, NotFound, Unavailable]
    problems = {error.http: (error.__doc__ or "").strip() for error in [*always, *errors]}
    key = (status, EVENT_STREAM) if answer is EventDocument else status
    responses: dict[Any, Any] = {key: answer or _nothing(status)}
    for code, text in sorted(problems.items()):
        responses[code, PROBLEM] = OpenApiResponse(Problem, text.splitlines()[0])
    responses["default", PROBLEM] = OpenApiResponse(Problem, "Anything else that went wrong.")
    document = extend_schema(
        operation_id=id, parameters=[query] if query else [], request=body, responses=responses, auth=None
    )

    def decorate(method: Method) -> Method:
        described = cast("Method", document(method))
        described.scope = scope  # type: ignore[attr-defined]
        return described

    return decorate


def _nothing(status: int) -> OpenApiResponse:
    return OpenApiResponse(description="Done." if status < 300 else "Refused.")


def problem(error: Error, *, errors: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The problem document of an error; one that a room derives for itself has the type of its parent in the tree."""
    name = next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == Error.__module__)
    return {
        "type": f"urn:micro:error:{_kebab(name)}",
        "title": _words(name),
        "status": error.http,
        "detail": error.detail,
        **({"errors": errors} if errors else {}),
    }


def with_retry(answer: HttpResponse, error: Error | None) -> HttpResponse:
    """The answer, with the header that tells when to try again what was refused because of a limit."""
    if isinstance(error, ResourceExhausted):
        answer["Retry-After"] = str(error.retry_after_s)
    return answer


def _words(name: str) -> str:
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip().capitalize()


def _kebab(name: str) -> str:
    return _words(name).lower().replace(" ", "-")
