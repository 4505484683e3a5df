"""auth.Rules on the wire."""

from __future__ import annotations

from micro.errors import InvalidArgument
from micro.proto import auth_pb2
from tenants.access.actors import needs
from tenants.access.permissions import Permission
from transport.callers import Caller, authorize
from transport.methods import Methods, unary
from transport.tenancy import in_public

from . import operations
from .access import Rule


async def create(request: auth_pb2.CreateRequest, caller: Caller) -> auth_pb2.CreateResponse:
    """Make a rule; it acts within a second."""
    namespace = authorize(caller, request.options.namespace)
    await in_public(operations.create, _rule(request), namespace=namespace)
    return auth_pb2.CreateResponse()


async def delete(request: auth_pb2.DeleteRequest, caller: Caller) -> auth_pb2.DeleteResponse:
    """Take a rule away; one that is not there is taken away already."""
    namespace = authorize(caller, request.options.namespace)
    await in_public(operations.delete, namespace=namespace, id=request.id)
    return auth_pb2.DeleteResponse()


async def list_rules(request: auth_pb2.ListRequest, caller: Caller) -> auth_pb2.ListResponse:
    """The rules of a namespace, in the order in which they are applied."""
    namespace = authorize(caller, request.options.namespace)
    rules = await in_public(operations.rules_of, namespace=namespace)
    return auth_pb2.ListResponse(rules=map(_message, rules))


def _rule(request: auth_pb2.CreateRequest) -> Rule:
    """The rule in the request; what is missing is named as Micro named it."""
    rule = request.rule
    for is_missing, what in (
        (not request.HasField("rule"), "Rule"),
        (not rule.id, "ID"),
        (not rule.HasField("resource"), "Resource"),
        (rule.access not in (auth_pb2.GRANTED, auth_pb2.DENIED), "Access"),
    ):
        if is_missing:
            raise InvalidArgument(f"{what} missing")
    return Rule(
        id=rule.id,
        scope=rule.scope,
        type=rule.resource.type,
        name=rule.resource.name,
        endpoint=rule.resource.endpoint,
        granted=rule.access == auth_pb2.GRANTED,
        priority=rule.priority,
    )


def _message(rule: Rule) -> auth_pb2.Rule:
    return auth_pb2.Rule(
        id=rule.id,
        scope=rule.scope,
        resource=auth_pb2.Resource(type=rule.type, name=rule.name, endpoint=rule.endpoint),
        access=auth_pb2.GRANTED if rule.granted else auth_pb2.DENIED,
        priority=rule.priority,
    )


METHODS: Methods = {
    "Rules.Create": unary(
        create, request=auth_pb2.CreateRequest, response=auth_pb2.CreateResponse, scope=needs(Permission.RULES_WRITE)
    ),
    "Rules.Delete": unary(
        delete, request=auth_pb2.DeleteRequest, response=auth_pb2.DeleteResponse, scope=needs(Permission.RULES_WRITE)
    ),
    "Rules.List": unary(
        list_rules, request=auth_pb2.ListRequest, response=auth_pb2.ListResponse, scope=needs(Permission.RULES_READ)
    ),
}
