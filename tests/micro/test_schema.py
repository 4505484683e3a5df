"""Which handlers and dataclasses can be served, and what is said about those that cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from micro import Context, Service
from micro.handlers import camel, package_of
from micro.schema import Mistake, Schema


@dataclass
class Request:
    name: str = ""


@dataclass
class Numbered:
    second: str = ""
    first: str = field(default="", metadata={"number": 1})
    third: int = 0


@dataclass
class Dated:
    at: datetime


class Other:
    @dataclass
    class Request:
        name: int = 0


class Unannotated:
    def call(self, request):
        return request


class TwoRequests:
    def call(self, one: Request, other: Request) -> Request:
        return one


class Plain:
    def call(self, request: str) -> Request:
        return Request(request)


class HasADate:
    def call(self, request: Dated) -> Request:
        return Request()


class Empty:
    def _hidden(self) -> None: ...


class Fine:
    def call(self, request: Request, context: Context) -> Iterator[Request]:
        yield request


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (Unannotated, "Unannotated.call: every public method of a handler is an endpoint"),
        (TwoRequests, "TwoRequests.call: every public method"),
        (Plain, "Plain.call: <class 'str'> is not a dataclass"),
        (HasADate, "Dated.at: protobuf has nothing for <class 'datetime.datetime'>"),
        (Empty, "Empty has no public method to serve."),
    ],
)
def test_a_handler_that_cannot_be_served_is_refused_with_the_reason(handler, text):
    with pytest.raises(Mistake, match=text.replace("(", r"\(")):
        Service("test").handle(handler())


def test_two_handlers_of_one_name_are_refused():
    service = Service("test")
    service.handle(Fine())
    with pytest.raises(Mistake, match="two handlers named Fine"):
        service.handle(Fine())
    service.handle(Fine(), name="Again")


def test_a_service_without_handlers_does_not_run():
    with pytest.raises(Mistake, match="has no handler"):
        Service("test").run()


def test_fields_are_numbered_in_order_around_those_with_a_number():
    schema = Schema("test")
    schema.add_service("Test", {"Call": (Numbered, Numbered, False, False)})
    numbers = {known.name: known.number for known in schema.file.message_type[0].field}
    assert numbers == {"second": 2, "first": 1, "third": 3}


def test_two_dataclasses_of_one_name_are_two_messages():
    schema = Schema("test")
    schema.add_service("Test", {"Call": (Request, Other.Request, False, False)})
    assert [message.name for message in schema.file.message_type] == ["Request", "Request2"]


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("helloworld", "helloworld"),
        ("foo-bar", "foo_bar"),
        ("foo.bar", "foo.bar"),
        ("v1.2x", "v1._2x"),
        ("grüße", "gr__e"),
    ],
)
def test_a_services_name_makes_a_proto_package(name, package):
    assert package_of(name) == package


@pytest.mark.parametrize(
    ("name", "served"), [("call", "Call"), ("list_services", "ListServices"), ("getURL", "GetURL")]
)
def test_a_methods_name_is_served_in_camel_case(name, served):
    assert camel(name) == served
