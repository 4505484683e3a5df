"""A tenant tries everything of auth, registry, network, router and debug on another's namespace; so does nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from micro.proto import auth_pb2, debug_pb2, network_pb2, registry_pb2, router_pb2
from primitives.registry import models as registry
from primitives.rules import models as rules
from project.sidecar import Sidecar as Platform
from tenants.models import Membership, Namespace
from transport.database import dsn

from .conftest import Caller, committed

pytestmark = pytest.mark.django_db  # so that there is a database; what the sidecar sees is committed

SERVICES = ("auth", "registry", "network", "router", "debug")
SHOP = {"namespace": "shop"}
DOMAIN = {"domain": "shop"}
RULE = auth_pb2.Rule(id="mine", resource={"type": "*", "name": "*", "endpoint": "*"}, access=auth_pb2.GRANTED)
NODE = {"id": "hidden-1", "address": "127.0.0.1:4999"}
ROUTE = router_pb2.Route(service="hidden", network="shop")
DENIED, REFUSED, UNKNOWN = "PERMISSION_DENIED", "UNIMPLEMENTED", "INVALID_ARGUMENT"

# What the tenant `rival` sends at `shop`, and how it ends; "OK" where the answer can only be about rival itself.
TRIES: dict[str, tuple[Any, Any, str]] = {
    "auth.Auth.Generate": (auth_pb2.GenerateRequest(id="x", options=SHOP), auth_pb2.GenerateResponse, DENIED),
    "auth.Auth.Inspect": (auth_pb2.InspectRequest(token="x", options=SHOP), auth_pb2.InspectResponse, UNKNOWN),
    "auth.Auth.Token": (
        auth_pb2.TokenRequest(id="eve", secret="eve-secret", options=SHOP), auth_pb2.TokenResponse, UNKNOWN,
    ),
    "auth.Accounts.List": (auth_pb2.ListAccountsRequest(options=SHOP), auth_pb2.ListAccountsResponse, DENIED),
    "auth.Accounts.Delete": (
        auth_pb2.DeleteAccountRequest(id="joe", options=SHOP), auth_pb2.DeleteAccountResponse, DENIED,
    ),
    "auth.Accounts.ChangeSecret": (
        auth_pb2.ChangeSecretRequest(id="joe", old_secret="joe-secret", new_secret="y", options=SHOP),
        auth_pb2.ChangeSecretResponse, DENIED,
    ),
    "auth.Rules.Create": (auth_pb2.CreateRequest(rule=RULE, options=SHOP), auth_pb2.CreateResponse, DENIED),
    "auth.Rules.Delete": (auth_pb2.DeleteRequest(id="hidden", options=SHOP), auth_pb2.DeleteResponse, DENIED),
    "auth.Rules.List": (auth_pb2.ListRequest(options=SHOP), auth_pb2.ListResponse, DENIED),
    "auth.ApiTokens.Create": (
        auth_pb2.CreateApiTokenRequest(name="x", options=SHOP), auth_pb2.CreateApiTokenResponse, DENIED,
    ),
    "auth.ApiTokens.List": (auth_pb2.ListApiTokensRequest(options=SHOP), auth_pb2.ListApiTokensResponse, DENIED),
    "auth.ApiTokens.Revoke": (
        auth_pb2.RevokeApiTokenRequest(id="x", options=SHOP), auth_pb2.RevokeApiTokenResponse, DENIED,
    ),
    "auth.Device.Poll": (auth_pb2.DevicePollRequest(device_code="x"), auth_pb2.DevicePollResponse, "NOT_FOUND"),
    "auth.Device.Start": (auth_pb2.DeviceStartRequest(options=SHOP), auth_pb2.DeviceStartResponse, "OK"),
    "auth.Namespaces.Create": (
        auth_pb2.CreateNamespaceRequest(name="x"), auth_pb2.CreateNamespaceResponse, DENIED,
    ),
    "auth.Namespaces.List": (auth_pb2.ListNamespacesRequest(), auth_pb2.ListNamespacesResponse, "OK"),
    "auth.Platform.Read": (auth_pb2.ReadPlatformRequest(), auth_pb2.ReadPlatformResponse, "OK"),
    "registry.Registry.GetService": (
        registry_pb2.GetRequest(service="hidden", options=DOMAIN), registry_pb2.GetResponse, DENIED,
    ),
    "registry.Registry.ListServices": (registry_pb2.ListRequest(options=DOMAIN), registry_pb2.ListResponse, DENIED),
    "registry.Registry.Watch": (registry_pb2.WatchRequest(options=DOMAIN), registry_pb2.Result, DENIED),
    "registry.Registry.Register": (
        registry_pb2.Service(name="hidden", nodes=[NODE], options=DOMAIN), registry_pb2.EmptyResponse, DENIED,
    ),
    "registry.Registry.Deregister": (
        registry_pb2.Service(name="hidden", nodes=[NODE], options=DOMAIN), registry_pb2.EmptyResponse, DENIED,
    ),
    "network.Network.Connect": (network_pb2.ConnectRequest(), network_pb2.ConnectResponse, REFUSED),
    "network.Network.Graph": (network_pb2.GraphRequest(), network_pb2.GraphResponse, "OK"),
    "network.Network.Nodes": (network_pb2.NodesRequest(), network_pb2.NodesResponse, "OK"),
    "network.Network.Routes": (
        network_pb2.RoutesRequest(query={"network": "shop"}), network_pb2.RoutesResponse, DENIED,
    ),
    "network.Network.Services": (network_pb2.ServicesRequest(), network_pb2.ServicesResponse, "OK"),
    "network.Network.Status": (network_pb2.StatusRequest(), network_pb2.StatusResponse, REFUSED),
    "router.Router.Lookup": (
        router_pb2.LookupRequest(service="hidden", options={"network": "shop"}), router_pb2.LookupResponse, DENIED,
    ),
    "router.Router.Watch": (router_pb2.WatchRequest(), router_pb2.Event, REFUSED),
    "router.Table.Create": (ROUTE, router_pb2.CreateResponse, REFUSED),
    "router.Table.Delete": (ROUTE, router_pb2.DeleteResponse, REFUSED),
    "router.Table.Read": (router_pb2.ReadRequest(service="hidden"), router_pb2.ReadResponse, REFUSED),
    "router.Table.Update": (ROUTE, router_pb2.UpdateResponse, REFUSED),
    "debug.Debug.Health": (debug_pb2.HealthRequest(), debug_pb2.HealthResponse, "OK"),
    "debug.Debug.Stats": (debug_pb2.StatsRequest(), debug_pb2.StatsResponse, "OK"),
    "debug.Debug.Log": (debug_pb2.LogRequest(), debug_pb2.LogResponse, DENIED),
    "debug.Debug.Trace": (debug_pb2.TraceRequest(), debug_pb2.TraceResponse, REFUSED),
}  # fmt: skip
PUBLIC = {
    *("auth.Auth.Inspect", "auth.Auth.Token", "auth.Device.Poll", "auth.Device.Start", "auth.Platform.Read"),
    *("debug.Debug.Health", "debug.Debug.Stats", "debug.Debug.Trace"),
}


def ending(send: Callable[[], Any]) -> tuple[str, str]:
    """How a call ends, and all that its caller gets to read."""
    try:
        return "OK", str(send())
    except grpc.RpcError as error:
        return error.code().name, error.details()


def send(caller: Caller, method: str, request: Any, returns: Any, **headers: str) -> tuple[str, str]:
    service, handler, name = method.split(".")
    return ending(lambda: caller.call(f"/{service}.{handler}/{name}", request, returns, **headers))


def stranger_sends(caller: Caller, method: str, **headers: str) -> tuple[str, str]:
    return send(caller, method, *TRIES[method][:2], **headers)


@pytest.fixture
def hidden(platform):
    """A service, a rule and an account of shop that nobody of rival may hear of; what shop has, before and after."""

    def hide() -> None:
        shop = Namespace.objects.get(slug="shop")
        registry.Node.objects.across_namespaces().create(
            namespace=shop, service="hidden", version="latest", protocol="grpc", node_id="hidden-1", host="127.0.0.1",
            port=4999, revision=1,
        )  # fmt: skip
        rules.Rule.objects.across_namespaces().create(
            namespace=shop, rule_id="hidden", type="service", name="hidden", endpoint="*", access="granted"
        )

    def everything() -> list[Any]:
        tables = (registry.Node.objects, rules.Rule.objects, Membership.objects)
        return [list(table.across_namespaces().order_by("pk").values()) for table in tables]

    committed(hide)
    before = committed(everything)
    yield
    assert committed(everything) == before
    committed(lambda: registry.Node.objects.across_namespaces().delete())


def test_every_method_has_its_try():
    tables = Platform(index=0, database=dsn()).services
    methods = {f"{service}.{name}" for service in SERVICES for name in tables[service]}
    assert methods == set(TRIES)


OF_NOBODYS_NAMESPACE = {"auth.Namespaces.Create", "debug.Debug.Log"}


@pytest.mark.parametrize("headers", [{}, {"micro_namespace": "shop"}])
def test_a_tenant_reaches_nothing_of_anothers(hidden, log_in, headers):
    eve = log_in("rival", "eve", "eve-secret")
    for method, (_, _, expected) in TRIES.items():
        code, text = stranger_sends(eve, method, **headers)
        assert code == expected, (method, text)
        assert "hidden" not in text, (method, text)
        if expected == DENIED and method not in OF_NOBODYS_NAMESPACE:
            assert json.loads(text)["detail"] == "access denied to namespace"


def test_nobody_reaches_anything(hidden, log_in):
    for method in TRIES.keys() - PUBLIC:
        code, text = stranger_sends(log_in(), method)
        assert code == "UNAUTHENTICATED", method
        assert json.loads(text)["detail"] == "an account is required"


def test_an_account_without_scopes_manages_nothing_of_its_own_namespace(hidden, log_in):
    joe = log_in("shop", "joe", "joe-secret")
    made = joe.call("/auth.Auth/Generate", auth_pb2.GenerateRequest(id="clerk"), auth_pb2.GenerateResponse).account
    clerk = log_in("shop", "clerk", made.secret)
    for method in ("auth.Accounts.List", "auth.Accounts.Delete", "auth.Rules.Create", "auth.Rules.Delete"):
        code, text = stranger_sends(clerk, method)
        assert code == DENIED
        assert "which the account clerk does not have" in json.loads(text)["detail"]
    assert stranger_sends(clerk, "auth.Rules.List")[0] == "OK"
    joe.call("/auth.Accounts/Delete", auth_pb2.DeleteAccountRequest(id="clerk"), auth_pb2.DeleteAccountResponse)


def test_whether_a_namespace_exists_is_not_told(hidden, log_in):
    eve = log_in("rival", "eve", "eve-secret")
    for method, (request, returns, expected) in TRIES.items():
        if expected == DENIED and "options" in request.DESCRIPTOR.fields_by_name and not method.startswith("router"):
            elsewhere = type(request)()
            elsewhere.CopyFrom(request)
            name = "namespace" if method.startswith("auth") else "domain"
            setattr(elsewhere.options, name, "no-such-one")
            assert send(eve, method, elsewhere, returns) == stranger_sends(eve, method)


def test_the_operator_sees_all_and_may_mend_it(hidden, log_in):
    root = log_in("micro", "admin", "micro")
    assert stranger_sends(root, "auth.Rules.List")[0] == "OK"
    assert "hidden" in stranger_sends(root, "registry.Registry.GetService")[1]
    assert "hidden" in stranger_sends(root, "network.Network.Routes")[1]
    assert "hidden" in stranger_sends(root, "network.Network.Services")[1]
    assert "joe" in stranger_sends(root, "auth.Accounts.List")[1]
