"""Accounts, rules, routes and logs over the wire, with the texts that Micro's clients know."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from micro.proto import auth_pb2, debug_pb2, network_pb2, registry_pb2, router_pb2

pytestmark = pytest.mark.django_db  # so that there is a database; what the sidecar sees is committed

GRANTED, DENIED = auth_pb2.GRANTED, auth_pb2.DENIED


def refusal(call) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, json.loads(caught.value.details())["detail"]


@pytest.fixture
def joe(log_in):
    return log_in("shop", "joe", "joe-secret")


def create(caller, **rule):
    options = rule.pop("options", {})
    request = auth_pb2.CreateRequest(rule=rule, options=options)
    return caller.call("/auth.Rules/Create", request, auth_pb2.CreateResponse)


def resource(text="service:*:*"):
    type, name, endpoint = text.split(":")
    return {"type": type, "name": name, "endpoint": endpoint}


def rules(caller, **options):
    request = auth_pb2.ListRequest(options=options)
    return [rule.id for rule in caller.call("/auth.Rules/List", request, auth_pb2.ListResponse).rules]


def delete(caller, id):
    return caller.call("/auth.Rules/Delete", auth_pb2.DeleteRequest(id=id), auth_pb2.DeleteResponse)


def test_the_default_rule_is_there_until_it_is_deleted_and_when_none_is_left(joe):
    (default,) = joe.call("/auth.Rules/List", auth_pb2.ListRequest(), auth_pb2.ListResponse).rules
    assert (default.id, default.scope, default.access, default.priority) == ("default", "", GRANTED, 0)
    assert (default.resource.type, default.resource.name, default.resource.endpoint) == ("*", "*", "*")
    create(joe, id="own", scope="*", resource=resource(), access=GRANTED, priority=1)
    assert rules(joe) == ["own", "default"]
    delete(joe, "default")
    assert rules(joe) == ["own"]
    delete(joe, "own")
    assert rules(joe) == ["default"]
    delete(joe, "no such rule")


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({}, "Rule missing"),
        ({"rule": {}}, "ID missing"),
        ({"rule": {"id": "a"}}, "Resource missing"),
        ({"rule": {"id": "a", "resource": resource()}}, "Access missing"),
        ({"rule": {"id": "a", "resource": resource(), "access": 7}}, "Access missing"),
        ({"rule": {"id": "a\n", "resource": resource(), "access": 1}}, "A rule's ID has at most 255"),
        ({"rule": {"id": "a" * 256, "resource": resource(), "access": 1}}, "A rule's ID has at most 255"),
        ({"rule": {"id": "a", "resource": {}, "access": 1}}, "A resource's type is"),
        ({"rule": {"id": "a", "resource": resource("service:a*:*"), "access": 1}}, "A resource's name is"),
        ({"rule": {"id": "a", "resource": resource("service:a:Hello.*"), "access": 1}}, "A resource's endpoint is"),
        ({"rule": {"id": "a", "resource": resource("service:a:/x*"), "access": 1}}, "A resource's endpoint is"),
        ({"rule": {"id": "a", "resource": resource("service:a:/*/b/*"), "access": 1}}, "A resource's endpoint is"),
        ({"rule": {"id": "a", "resource": resource("service:a:"), "access": 1}}, "A resource's endpoint is"),
        ({"rule": {"id": "a", "scope": "x" * 256, "resource": resource(), "access": 1}}, "A rule's scope has"),
    ],
)
def test_a_rule_that_is_none_is_refused(joe, request_, text):
    code, said = refusal(
        lambda: joe.call("/auth.Rules/Create", auth_pb2.CreateRequest(**request_), auth_pb2.CreateResponse)
    )
    assert code == "INVALID_ARGUMENT"
    assert said.startswith(text)


def test_an_id_is_taken_once_the_default_ones_too(joe):
    create(joe, id="a", resource=resource(), access=GRANTED)
    for id in ("a", "default"):
        assert refusal(lambda id=id: create(joe, id=id, resource=resource(), access=DENIED)) == (
            "ALREADY_EXISTS", "A rule with this ID already exists",
        )  # fmt: skip
    delete(joe, "a")
    delete(joe, "default")
    assert refusal(lambda: create(joe, id="default", resource=resource(), access=DENIED))[0] == "ALREADY_EXISTS"
    assert refusal(lambda: delete(joe, "")) == ("INVALID_ARGUMENT", "ID missing")


def a_hundred(attempt) -> list[str]:
    """How a hundred attempts at once ended."""

    def one(n: int) -> str:
        try:
            attempt(n)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    with ThreadPoolExecutor(100) as pool:
        return list(pool.map(one, range(100)))


def test_a_namespace_has_no_more_accounts_than_its_limit_even_when_a_hundred_come_at_once(joe, settings):
    settings.MICRO_DEFAULT_ACCOUNTS = 7
    listed = joe.call("/auth.Accounts/List", auth_pb2.ListAccountsRequest(), auth_pb2.ListAccountsResponse).accounts
    before = [account.id for account in listed]

    def generate(n: int) -> None:
        request = auth_pb2.GenerateRequest(id=f"many-{n}")
        joe.call("/auth.Auth/Generate", request, auth_pb2.GenerateResponse)

    outcomes = a_hundred(generate)
    listed = joe.call("/auth.Accounts/List", auth_pb2.ListAccountsRequest(), auth_pb2.ListAccountsResponse).accounts
    made = [account.id for account in listed if account.id not in before]
    for id in made:
        joe.call("/auth.Accounts/Delete", auth_pb2.DeleteAccountRequest(id=id), auth_pb2.DeleteAccountResponse)
    assert outcomes.count("OK") == len(made)
    assert 0 < len(made) <= 7
    assert outcomes.count("RESOURCE_EXHAUSTED") == 100 - len(made)


def test_a_namespace_has_no_more_rules_than_its_limit_even_when_a_hundred_come_at_once(joe, settings):
    settings.MICRO_DEFAULT_RULES = 12
    outcomes = a_hundred(lambda n: create(joe, id=f"r{n}", resource=resource(), access=GRANTED))
    assert outcomes.count("OK") == 11  # and the default one
    assert outcomes.count("RESOURCE_EXHAUSTED") == 89
    assert len(rules(joe)) == 12


def test_the_platforms_rules_hold_for_its_services_and_lock_nobody_out(platform, log_in, joe):
    root = log_in("micro", "admin", "micro")
    create(root, id="closed", resource=resource("service:registry:*"), access=DENIED, priority=1)
    platform._do(platform.keeper.load())

    def listing(caller):
        return caller.call("/registry.Registry/ListServices", registry_pb2.ListRequest(), registry_pb2.ListResponse)

    assert refusal(lambda: listing(joe)) == (
        "PERMISSION_DENIED", "Forbidden call made to registry:Registry.ListServices by joe",
    )  # fmt: skip
    assert refusal(lambda: listing(log_in())) == (
        "UNAUTHENTICATED", "Unauthorized call made to registry:Registry.ListServices",
    )  # fmt: skip
    create(root, id="shut", resource=resource("*:*:*"), access=DENIED, priority=2)
    platform._do(platform.keeper.load())
    assert refusal(lambda: root.call("/debug.Debug/Health", debug_pb2.HealthRequest(), debug_pb2.HealthResponse))
    root = log_in("micro", "admin", "micro")
    for id in ("shut", "closed"):
        delete(root, id)
    platform._do(platform.keeper.load())
    assert listing(joe).services is not None


def test_accounts_are_listed_changed_and_deleted(joe, log_in):
    def call(method, request, returns):
        return joe.call(f"/auth.Accounts/{method}", request, returns)

    made = joe.call(
        "/auth.Auth/Generate", auth_pb2.GenerateRequest(id="bot", name="Robot"), auth_pb2.GenerateResponse
    ).account
    listed = call("List", auth_pb2.ListAccountsRequest(), auth_pb2.ListAccountsResponse).accounts
    assert [(one.id, one.name, one.issuer, one.secret) for one in listed] == [
        ("bot", "Robot", "shop", ""), ("joe", "joe", "shop", ""),
    ]  # fmt: skip
    bot = log_in("shop", "bot", made.secret)
    change = auth_pb2.ChangeSecretRequest(id="bot", old_secret=made.secret, new_secret="mine")
    bot.call("/auth.Accounts/ChangeSecret", change, auth_pb2.ChangeSecretResponse)
    assert refusal(lambda: log_in("shop", "bot", made.secret)) == ("UNAUTHENTICATED", "Secret not correct")
    log_in("shop", "Robot", "mine")
    call("Delete", auth_pb2.DeleteAccountRequest(id="Robot"), auth_pb2.DeleteAccountResponse)
    for id, text in {"joe": "Can't delete your own account", "": "Missing ID"}.items():
        request = auth_pb2.DeleteAccountRequest(id=id)
        found = refusal(lambda request=request: call("Delete", request, auth_pb2.DeleteAccountResponse))
        assert found == ("INVALID_ARGUMENT", text)


def test_guesses_are_told_apart_by_the_address_that_envoy_names(log_in, joe, monkeypatch):
    monkeypatch.setattr("primitives.auth.secrets.check_password", lambda secret, _stored: secret == "joe-secret")

    def attempt(secret, address):
        request = auth_pb2.TokenRequest(id="joe", secret=secret, options={"namespace": "shop"})
        return log_in().call("/auth.Auth/Token", request, auth_pb2.TokenResponse, x_forwarded_for=address)

    for _ in range(10):
        assert refusal(lambda: attempt("wrong", "6.6.6.6"))[0] == "UNAUTHENTICATED"
    code, text = refusal(lambda: attempt("joe-secret", "6.6.6.6"))
    assert (code, text.partition(":")[0]) == ("RESOURCE_EXHAUSTED", "Too many wrong secrets")
    assert attempt("joe-secret", "7.7.7.7").token.access_token


def test_routes_are_what_is_registered(joe, settings):
    host, port = settings.MICRO_NETWORK_ADDRESS
    gateway = f"{host}:{port}"
    service = registry_pb2.Service(
        name="hello", version="v1", nodes=[{"id": "hello-1", "address": "127.0.0.1:4000"}], options={"ttl": 60}
    )
    joe.call("/registry.Registry/Register", service, registry_pb2.EmptyResponse)

    def lookup(**request):
        reply = joe.call("/router.Router/Lookup", router_pb2.LookupRequest(**request), router_pb2.LookupResponse)
        return list(reply.routes)

    (route,) = lookup(service="hello")
    assert (route.service, route.address, route.gateway, route.network) == ("hello", "127.0.0.1:4000", gateway, "shop")
    assert (route.link, route.metric, route.metadata["version"]) == ("local", 1, "v1")
    assert lookup(service="hello", options={"address": "*", "network": "shop", "gateway": gateway}) == [route]
    for other in ({"service": "other"}, {"service": "hello", "options": {"address": "10.0.0.1:1"}}):
        assert refusal(lambda other=other: lookup(**other)) == ("NOT_FOUND", "route not found")
    assert refusal(lookup)[0] == "INVALID_ARGUMENT"
    routes = joe.call("/network.Network/Routes", network_pb2.RoutesRequest(), network_pb2.RoutesResponse).routes
    assert list(routes) == [route]
    names = joe.call("/network.Network/Services", network_pb2.ServicesRequest(), network_pb2.ServicesResponse)
    assert list(names.services) == ["hello"]
    (node,) = joe.call("/network.Network/Nodes", network_pb2.NodesRequest(), network_pb2.NodesResponse).nodes
    assert node.address == gateway
    joe.call("/registry.Registry/Deregister", service, registry_pb2.EmptyResponse)


@pytest.mark.parametrize(
    ("path", "request_", "returns", "why"),
    [
        ("/network.Network/Connect", network_pb2.ConnectRequest(), network_pb2.ConnectResponse, "Nodes do not join"),
        ("/network.Network/Status", network_pb2.StatusRequest(), network_pb2.StatusResponse, "no state of its own"),
        ("/router.Table/Create", router_pb2.Route(), router_pb2.CreateResponse, "follow from what is registered"),
        ("/router.Router/Watch", router_pb2.WatchRequest(), router_pb2.Event, "use registry.Registry.Watch"),
    ],
)
def test_what_makes_no_sense_here_says_why(joe, path, request_, returns, why):
    code, text = refusal(lambda: joe.call(path, request_, returns))
    assert code == "UNIMPLEMENTED"
    assert why in text


def test_the_operator_reads_the_last_lines_of_the_log(log_in):
    logging.getLogger("project.sidecar").warning("something %s", "odd")
    root = log_in("micro", "admin", "micro")

    def read(**request):
        return root.call("/auth.Debug/Log", debug_pb2.LogRequest(**request), debug_pb2.LogResponse).records

    (line,) = read(count=1)
    assert (line.message, line.metadata["level"]) == ("something odd", "warning")
    assert list(read(since=line.timestamp + 3600)) == []
    assert refusal(lambda: read(count=-1))[0] == "INVALID_ARGUMENT"


def test_a_namespace_announces_no_more_nodes_than_its_limit_even_when_a_hundred_come_at_once(joe, settings):
    from concurrent.futures import ThreadPoolExecutor

    settings.MICRO_DEFAULT_NODES = 7
    nodes = [{"id": f"many-{n}", "address": f"127.0.0.1:{5000 + n}"} for n in range(100)]

    def announce(node):
        service = registry_pb2.Service(name="many", nodes=[node], options={"ttl": 60})
        try:
            joe.call("/registry.Registry/Register", service, registry_pb2.EmptyResponse)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(announce, nodes))
    assert (outcomes.count("OK"), outcomes.count("RESOURCE_EXHAUSTED")) == (7, 93)
    assert announce(nodes[outcomes.index("OK")]) == "OK"  # renewed
    everything = registry_pb2.Service(name="many", nodes=nodes)
    joe.call("/registry.Registry/Deregister", everything, registry_pb2.EmptyResponse)


def test_the_metadata_of_a_node_has_a_limit(joe):
    node = {"id": "n", "address": "127.0.0.1:5000", "metadata": {"k": "v" * 20_000}}
    service = registry_pb2.Service(name="many", nodes=[node])
    code, text = refusal(lambda: joe.call("/registry.Registry/Register", service, registry_pb2.EmptyResponse))
    assert code == "INVALID_ARGUMENT"
    assert "metadata" in text
