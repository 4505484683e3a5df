"""A namespace's rules as Envoy applies them: the same order, the same first match as `primitives.rules.access`.

On the routes of a service that is not open to everybody, a second Lua says what is called, in the words that rules use,
and RBAC goes through the rules. Other routes have neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from envoy.config.rbac.v3 import rbac_pb2 as actions_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2
from envoy.extensions.matching.common_inputs.network.v3 import network_inputs_pb2
from envoy.extensions.matching.input_matchers.metadata.v3 import metadata_pb2
from envoy.type.matcher.v3 import value_pb2
from google.protobuf import any_pb2, struct_pb2
from google.protobuf.message import Message
from xds.type.matcher.v3 import matcher_pb2

from primitives.rules.access import ALL_ACCOUNTS, ANYTHING, OWN_ACCOUNTS, PUBLIC, Restriction, Rule, fold

RBAC = "envoy.filters.http.rbac"
JWT = "envoy.filters.http.jwt_authn"
RESOURCE = "resource"  # the second Lua: its name among the filters, and that of its only script
ENDPOINT = ("micro", "endpoint")  # where the second Lua leaves what is called
CALLED = ("micro", "called")  # and `service:endpoint`, for the refusal
ISSUER, SUBJECT, SCOPES = ((JWT, "claims", claim) for claim in ("iss", "sub", "scopes"))

Predicate: TypeAlias = matcher_pb2.Matcher.MatcherList.Predicate
Field: TypeAlias = matcher_pb2.Matcher.MatcherList.FieldMatcher


def filters(rules: Restriction, *, namespace: str, service: str, prefix: str | None = None) -> dict[str, any_pb2.Any]:
    """What the filters of a service's routes are told: nothing when it is open.

    `prefix` is where a plain HTTP service is mounted, "" on its own host; None stands for gRPC.
    """
    if rules is None:
        return {}
    context = struct_pb2.Struct()
    context.update({"service": service} if prefix is None else {"service": service, "prefix": prefix})
    return {
        RESOURCE: _packed(lua_pb2.LuaPerRoute(name=RESOURCE, filter_context=context)),
        RBAC: _packed(rbac_pb2.RBACPerRoute(rbac=rbac_pb2.RBAC(matcher=matcher(rules, namespace=namespace)))),
    }


def matcher(rules: Sequence[Rule], *, namespace: str) -> matcher_pb2.Matcher:
    """The first rule that fits decides; when none does, the call is refused."""
    fields: list[Field] = []
    for rule in rules:
        predicates = [*_endpoint(rule.endpoint), *_account(rule.scope, namespace)]
        if not predicates:
            return _first_match(fields, otherwise=_action(granted=rule.granted))
        fields.append(Field(predicate=_all(predicates), on_match=_action(granted=rule.granted)))
    return _first_match(fields, otherwise=_action(granted=False))


def _first_match(fields: list[Field], *, otherwise: matcher_pb2.Matcher.OnMatch) -> matcher_pb2.Matcher:
    if not fields:
        return matcher_pb2.Matcher(on_no_match=otherwise)
    return matcher_pb2.Matcher(matcher_list=matcher_pb2.Matcher.MatcherList(matchers=fields), on_no_match=otherwise)


def _endpoint(pattern: str) -> list[Predicate]:
    """The Lua hands over endpoints in small letters."""
    pattern = fold(pattern)
    if pattern == ANYTHING:
        return []
    if not pattern.endswith("/*"):
        return [_metadata(ENDPOINT, _text(exact=pattern))]
    prefix = pattern.removesuffix("/*")
    below = _text(prefix=f"{prefix}/")
    if not prefix:
        return [_metadata(ENDPOINT, below)]
    either = value_pb2.OrMatcher(value_matchers=[_text(exact=prefix), below])
    return [_metadata(ENDPOINT, value_pb2.ValueMatcher(or_match=either))]


def _account(scope: str, namespace: str) -> list[Predicate]:
    if scope == PUBLIC:
        return []
    if scope == ALL_ACCOUNTS:
        return [_metadata(ISSUER, value_pb2.ValueMatcher(present_match=True))]
    own = _metadata(ISSUER, _text(exact=namespace))
    if scope == OWN_ACCOUNTS:
        return [own]
    has_it = value_pb2.ListMatcher(one_of=_text(exact=scope))
    return [own, _metadata(SCOPES, value_pb2.ValueMatcher(list_match=has_it))]


def _metadata(path: tuple[str, ...], value: value_pb2.ValueMatcher) -> Predicate:
    source = network_inputs_pb2.DynamicMetadataInput(filter=path[0], path=[{"key": key} for key in path[1:]])
    custom = {"name": "value", "typed_config": _packed(metadata_pb2.Metadata(value=value))}
    single = Predicate.SinglePredicate(input={"name": "metadata", "typed_config": _packed(source)}, custom_match=custom)
    return Predicate(single_predicate=single)


def _all(predicates: list[Predicate]) -> Predicate:
    if len(predicates) == 1:
        return predicates[0]
    return Predicate(and_matcher=Predicate.PredicateList(predicate=predicates))


def _text(**how: str) -> value_pb2.ValueMatcher:
    return value_pb2.ValueMatcher(string_match=how)


def _action(*, granted: bool) -> matcher_pb2.Matcher.OnMatch:
    kind = actions_pb2.RBAC.ALLOW if granted else actions_pb2.RBAC.DENY
    action: Any = {"name": "rule", "typed_config": _packed(actions_pb2.Action(name="rule", action=kind))}
    return matcher_pb2.Matcher.OnMatch(action=action)


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message, deterministic=True)
    return packed
