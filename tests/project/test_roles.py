"""Every method of the sidecar and every route and page, for every role: what is let in here is written down twice."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from django.urls import get_resolver

from micro.errors import PermissionDenied
from project.sidecar import Sidecar
from tenants.access.actors import Needs, reach, require_own
from tenants.access.declared import MethodWithoutPermission, require_declared
from tenants.access.grants import require_grants, require_may_give, require_may_grant
from tenants.access.named import named
from tenants.access.permissions import GRANTABLE, POWERS, Permission, Reach
from tenants.access.roles import COLUMNS, TABLE, Role, role
from tests.project.test_permissions_declared import patterns, scope
from transport.callers import ANY_ACCOUNT, ANYONE, Account, Caller
from transport.methods import refuse, unary

ACCOUNTS = {
    Role.READER: Account("joe", "token", "shop", "joe", ("reader",), user_id=1),
    Role.MEMBER: Account("joe", "user", "shop", "joe", (), user_id=1),
    Role.ADMIN: Account("joe", "user", "shop", "joe", ("admin",), user_id=1),
    Role.OPERATOR: Account("ann", "user", "micro", "ann", ("admin",), user_id=2),
    Role.SERVICE: Account("web-latest-1", "service", "shop", "web", ("service", "service:web")),
    Role.PROGRAM: Account("bot", "account", "shop", "bot", ("invoices",)),
}
# What each role is refused, beyond what the next one in power is; `handler.*` stands for all of it.
REFUSED = {
    Role.OPERATOR: [],
    Role.ADMIN: ["auth.Namespaces.Create", "debug.Debug.Log", "store.Store.Databases"],
    Role.MEMBER: ["auth.Accounts.List", "auth.Accounts.Delete", "auth.Rules.Create", "auth.Rules.Delete"],
    Role.PROGRAM: [
        "auth.Auth.Generate", "auth.ApiTokens.*", "runtime.Runtime.Create", "runtime.Runtime.Update",
        "runtime.Runtime.Delete", "runtime.Runtime.Cancel", "runtime.Runtime.Logs", "runtime.Source.Upload",
        "runtime.Build.Read", "runtime.Deployments.Redeploy", "runtime.Variables.*", "store.Store.Write",
        "store.Store.Delete", "store.BlobStore.Write", "store.BlobStore.Delete", "store.BlobStore.List",
        "config.Config.Set", "config.Config.Delete", "events.Groups.Delete", "events.DeadLetters.Redrive",
        "events.DeadLetters.Delete", "registry.Registry.Register", "registry.Registry.Deregister",
    ],
    Role.SERVICE: [
        "auth.Auth.Generate", "auth.Accounts.ChangeSecret", "auth.ApiTokens.*", "runtime.*", "events.Groups.Delete",
        "events.DeadLetters.Redrive", "events.DeadLetters.Delete",
    ],
    Role.READER: [
        "auth.Auth.Generate", "auth.Accounts.ChangeSecret", "auth.Rules.List", "auth.ApiTokens.Create",
        "auth.ApiTokens.Revoke", "runtime.Runtime.Create", "runtime.Runtime.Update", "runtime.Runtime.Delete",
        "runtime.Runtime.Cancel", "runtime.Source.Upload", "runtime.Deployments.Redeploy", "runtime.Variables.*",
        "store.*", "config.*", "events.*", "broker.*", "registry.Registry.Register", "registry.Registry.Deregister",
    ],
}  # fmt: skip
AFTER = {
    Role.ADMIN: [Role.OPERATOR], Role.MEMBER: [Role.ADMIN], Role.OPERATOR: [],
    **{one: [Role.MEMBER, Role.ADMIN] for one in (Role.PROGRAM, Role.SERVICE, Role.READER)},
}  # fmt: skip


def is_let_in(declared: Any, account: Account) -> bool:
    try:
        declared(Caller(account))
    except PermissionDenied:
        return False
    return True


@pytest.fixture(scope="module")
def methods() -> dict[str, Any]:
    tables = Sidecar(index=0, database="").services
    return {f"{service}.{name}": method for service, table in tables.items() for name, method in table.items()}


@pytest.mark.parametrize("one", Role)
def test_every_method_lets_in_the_roles_that_are_written_down_here(methods, one):
    assert role(ACCOUNTS[one]) is one
    patterns = [pattern for of in (one, *AFTER[one]) for pattern in REFUSED[of]]
    wanted = {name for name, method in methods.items() if any(fnmatch(name, pattern) for pattern in patterns)}
    public = {name for name, method in methods.items() if method.scope is ANYONE}
    refused = {name for name, method in methods.items() if not is_let_in(method.scope, ACCOUNTS[one])}
    assert refused == wanted - public


def test_what_is_for_anyone_is_written_down_here(methods):
    assert {name for name, method in methods.items() if method.scope is ANYONE} == {
        "auth.Auth.Token", "auth.Auth.Inspect", "auth.Device.Start", "auth.Device.Poll", "auth.Platform.Read",
        "debug.Debug.Health", "debug.Debug.Stats", "debug.Debug.Trace", "registry.Registry.GetService",
        "registry.Registry.ListServices", "registry.Registry.Watch", "signup.Signup.CompleteSignup",
        "signup.Signup.HasPaymentMethod", "signup.Signup.Recover", "signup.Signup.SendVerificationEmail",
        "signup.Signup.SetPaymentMethod", "signup.Signup.Verify", "store.BlobStore.Read",
    }  # fmt: skip


def test_a_method_that_names_no_permission_is_not_mounted():
    async def nothing(request: Any, caller: Any) -> Any:
        raise AssertionError

    table = {"Mine.Call": unary(refuse(""), request=Any, response=Any, scope=ANY_ACCOUNT)}
    with pytest.raises(MethodWithoutPermission, match=r"web\.Mine\.Call"):
        require_declared({"web": table})


def test_every_method_of_every_route_lets_in_the_roles_of_the_table():
    seen = 0
    for path, _, view in patterns(get_resolver()):
        endpoint = getattr(view, "cls", None)
        if not path.startswith("v1/") or endpoint is None or scope(view) is ANYONE:
            continue
        for name in {"get", "post", "put", "patch", "delete"} & set(vars(endpoint)):
            declared = getattr(endpoint, name).scope
            assert isinstance(declared, Needs), (path, name)
            changes = name != "get"
            assert is_let_in(declared, ACCOUNTS[Role.READER]) is not changes, (path, name)
            assert not changes or not is_let_in(declared, ACCOUNTS[Role.SERVICE]), (path, name)
            assert not changes or not is_let_in(declared, ACCOUNTS[Role.PROGRAM]), (path, name)
            seen += 1
    assert seen == 17


def test_every_page_that_changes_something_is_for_who_may(client):
    changing = re.compile(r"deploy|cancel|variables|delete|revoke")
    for path, _, view in patterns(get_resolver()):
        permission = getattr(view, "permission", None)
        if permission is not None and changing.search(path.rpartition(">")[2]) and "POST" in view.methods:
            assert TABLE[Role.READER][permission] is Reach.NONE, path


def test_the_table_says_something_of_every_permission_and_role():
    assert set(TABLE) == set(Role) == set(COLUMNS)
    assert all(set(column) == set(Permission) for column in TABLE.values())
    assert all(TABLE[Role.ADMIN][one] is Reach.ALL for one in GRANTABLE)


def test_a_member_of_the_platforms_namespace_deploys_nothing_there():
    for type, scopes in (("user", ()), ("token", ("member",)), ("account", ())):
        member = Account("joe", type, "micro", "joe", scopes, user_id=1 if type != "account" else None)
        assert reach(member, Permission.RUNTIME_DEPLOY) is Reach.NONE
        assert not member.crosses_namespaces


@pytest.mark.parametrize(
    ("account", "is_a"),
    [
        (Account("x", "service", "micro", "x", ("service",)), Role.PROGRAM),
        (Account("x", "service", "micro", "x", ("service", "admin", "service:x")), Role.SERVICE),
        (Account("x", "account", "shop", "x", ("member", "reader", "operator", "user")), Role.PROGRAM),
        (Account("x", "token", "shop", "x", ()), Role.READER),
        (Account("x", "", "shop", "x", ()), Role.PROGRAM),
    ],
)
def test_words_among_scopes_make_nobody_more_than_they_are(account, is_a):
    assert role(account) is is_a


def test_a_grant_reaches_what_it_names_and_nothing_else():
    granted = Account("w", "service", "shop", "w", ("service", "service:web", "store.*", "runtime.deploy"))
    reaches = {one for one in Permission if reach(granted, one) is Reach.ALL}
    default = {one for one in Permission if TABLE[Role.SERVICE][one] is Reach.ALL}
    assert reaches - default == {Permission.STORE_READ, Permission.STORE_WRITE, Permission.RUNTIME_DEPLOY}
    with pytest.raises(PermissionDenied, match=r"--grant config\.read\."):
        require_own(granted, Permission.CONFIG_READ, is_own=False)


def test_words_like_grants_give_a_person_and_a_token_nothing():
    for type in ("user", "token"):
        account = Account("joe", type, "shop", "joe", ("member", "accounts.*", "rules.write"), user_id=1)
        assert reach(account, Permission.RULES_WRITE) is Reach.NONE


@pytest.mark.parametrize("word", sorted(GRANTABLE))
def test_who_has_no_permission_grants_none_and_powers_are_an_admins_to_give(word):
    for one, account in ACCOUNTS.items():
        may = one in (Role.ADMIN, Role.OPERATOR) or (word not in POWERS and TABLE[one][Permission(word)] is Reach.ALL)
        try:
            require_may_grant(account, [word])
        except PermissionDenied:
            assert not may, one
        else:
            assert may, one


def test_grants_are_sorted_and_each_is_kept_once_and_none_means_none():
    assert require_grants(["store.read", "runtime.deploy", "store.read"]) == ["runtime.deploy", "store.read"]
    assert require_grants(["none"]) == []
    assert all(named(f"{one.partition('.')[0]}.*") for one in GRANTABLE)


def test_scopes_are_given_by_who_has_them():
    require_may_give(ACCOUNTS[Role.PROGRAM], ["invoices"])
    require_may_give(ACCOUNTS[Role.ADMIN], ["anything", "admin", "rules.write"])
    require_may_give(ACCOUNTS[Role.MEMBER], ["store.read"])
    for scopes in (["admin"], ["other"], ["runtime.deploy"], ["accounts.*"]):
        with pytest.raises(PermissionDenied):
            require_may_give(ACCOUNTS[Role.MEMBER], scopes)


def test_the_documentation_has_this_table():
    words = {Reach.NONE: "\u2013", Reach.OWN: "own", Reach.ALL: "all"}
    shown = (Role.READER, Role.MEMBER, Role.ADMIN, Role.SERVICE, Role.PROGRAM)
    text = (Path(__file__).parents[2] / "docs" / "auth.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z]+\.[a-z]+)`: [^|]+\| (.+) \|$", text, re.MULTILINE))
    assert rows == {str(one): " | ".join(words[TABLE[role][one]] for role in shown) for one in Permission}
