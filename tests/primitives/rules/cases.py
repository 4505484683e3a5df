"""What rules mean, as a table. The pure function and a real Envoy, at each of its doors, must agree with every row.

Services are of the namespace `foo`: `helloworld` speaks gRPC, `web` plain HTTP. Callers are nobody, or accounts.
"""

from __future__ import annotations

from dataclasses import dataclass

from primitives.rules.access import Rule
from transport.callers import Account

NOBODY = None
JOE = Account(id="joe", type="user", issuer="foo", name="joe", scopes=("basic",))
ADMIN = Account(id="ann", type="user", issuer="foo", name="ann", scopes=("admin", "basic"))
BARE = Account(id="bob", type="user", issuer="foo", name="bob")
STRANGER = Account(id="eve", type="user", issuer="bar", name="eve", scopes=("admin", "basic"))
OPERATOR = Account(id="root", type="user", issuer="micro", name="root", scopes=("admin",))

CALL, LIST = ("helloworld", "Helloworld.Call"), ("helloworld", "Helloworld.ListThings")


def page(path: str) -> tuple[str, str]:
    return ("web", path)


def grant(scope: str = "", resource: str = "*:*:*", priority: int = 0, id: str = "grant") -> Rule:
    return _rule(id, scope, resource, priority, granted=True)


def deny(scope: str = "", resource: str = "*:*:*", priority: int = 0, id: str = "deny") -> Rule:
    return _rule(id, scope, resource, priority, granted=False)


def _rule(id: str, scope: str, resource: str, priority: int, *, granted: bool) -> Rule:
    type, name, endpoint = resource.split(":")
    return Rule(id=id, scope=scope, type=type, name=name, endpoint=endpoint, granted=granted, priority=priority)


@dataclass(frozen=True)
class Case:
    """Under these rules this account's call is granted, or not."""

    claim: str
    rules: tuple[Rule, ...]
    account: Account | None
    call: tuple[str, str]
    granted: bool


def _cases() -> list[Case]:
    table: list[Case] = []

    def rules(claim: str, *which: Rule):
        def row(account: Account | None, call: tuple[str, str], granted: bool) -> None:
            table.append(Case(claim, which, account, call, granted))

        return row

    row = rules("without rules everything is public")
    for who in (NOBODY, JOE, STRANGER, OPERATOR):
        row(who, CALL, True)
        row(who, page("/"), True)

    row = rules("a public rule grants to all", grant())
    row(NOBODY, CALL, True)
    row(STRANGER, page("/a"), True)

    row = rules("a public rule denies to all", deny())
    row(NOBODY, CALL, False)
    row(ADMIN, CALL, False)
    row(ADMIN, page("/"), False)

    row = rules("`*` means accounts of this namespace", grant("*"))
    row(NOBODY, CALL, False)
    row(BARE, CALL, True)
    row(JOE, CALL, True)
    row(STRANGER, CALL, False)
    row(OPERATOR, CALL, False)
    row(NOBODY, page("/"), False)
    row(BARE, page("/"), True)
    row(STRANGER, page("/"), False)

    row = rules("`+` means accounts of any namespace", grant("+"))
    row(NOBODY, CALL, False)
    row(BARE, CALL, True)
    row(STRANGER, CALL, True)
    row(OPERATOR, page("/a"), True)
    row(NOBODY, page("/a"), False)

    row = rules("a scope means accounts of this namespace that have it", grant("admin"))
    row(NOBODY, CALL, False)
    row(JOE, CALL, False)
    row(ADMIN, CALL, True)
    row(STRANGER, CALL, False)
    row(OPERATOR, CALL, False)

    row = rules("scopes are told apart by case and as whole words", grant("Admin"), grant("adm", id="part"))
    row(ADMIN, CALL, False)

    row = rules("the highest priority decides", grant(), deny("*", priority=1))
    row(NOBODY, CALL, True)
    row(JOE, CALL, False)
    row(STRANGER, CALL, True)

    row = rules("a negative priority comes last", grant("basic", priority=-1), deny("admin"))
    row(JOE, CALL, True)
    row(ADMIN, CALL, False)
    row(BARE, CALL, False)

    row = rules("of equal priorities the first id decides", deny(id="b"), grant(id="a"))
    row(NOBODY, CALL, True)
    row = rules("of equal priorities the first id decides", deny(id="a"), grant(id="b"))
    row(NOBODY, CALL, False)

    row = rules(
        "a rule that does not fit the account is passed over", deny("admin", priority=2), grant("*", priority=1)
    )
    row(JOE, CALL, True)
    row(ADMIN, CALL, False)
    row(STRANGER, CALL, False)

    row = rules("a rule is about the service it names", deny(resource="service:helloworld:*", priority=1), grant())
    row(NOBODY, CALL, False)
    row(NOBODY, page("/"), True)

    row = rules("a rule about another service is about nothing here", deny(resource="service:hello:*"))
    row(NOBODY, CALL, False)
    row = rules("a rule about another service decides nothing", grant(), deny(resource="service:hello:*", priority=1))
    row(NOBODY, CALL, True)

    row = rules("a rule about another type decides nothing", grant(), deny(resource="namespace:*:*", priority=1))
    row(NOBODY, CALL, True)

    row = rules("a rule is about the method it names", grant(resource="service:helloworld:Helloworld.Call"))
    row(NOBODY, CALL, True)
    row(NOBODY, LIST, False)
    row(NOBODY, page("/"), False)

    row = rules("a method is named whole", deny(resource="service:*:oworld.Call", priority=1), grant())
    row(NOBODY, CALL, True)

    row = rules(
        "case does not matter in resources", deny(resource="SERVICE:HelloWorld:helloworld.CALL"), grant("", id="z")
    )
    row(NOBODY, CALL, False)
    row(NOBODY, LIST, True)

    row = rules("methods have scopes of their own", grant("admin", "service:helloworld:Helloworld.Call", 2),
                deny("", "service:helloworld:Helloworld.Call", 1), grant(id="z"))  # fmt: skip
    row(ADMIN, CALL, True)
    row(JOE, CALL, False)
    row(NOBODY, CALL, False)
    row(NOBODY, LIST, True)

    row = rules("a prefix takes in the path and all below, as whole segments",
                deny("", "service:web:/admin/*", 1), grant())  # fmt: skip
    for path, granted in {
        "/": True, "/admin": False, "/admin/": False, "/admin/users": False, "/admin/users/7": False,
        "/administrator": True, "/ADMIN/users": False, "/public/admin": True, "/admin.html": True,
    }.items():  # fmt: skip
        row(NOBODY, page(path), granted)
    row(NOBODY, CALL, True)

    row = rules("a path without a star is only itself", deny("", "service:web:/admin", 1), grant())
    row(NOBODY, page("/admin"), False)
    row(NOBODY, page("/Admin"), False)
    row(NOBODY, page("/admin/users"), True)
    row(NOBODY, page("/admin/"), True)

    row = rules("the root's prefix takes in every path and no method", deny("", "*:*:/*", 1), grant())
    row(NOBODY, page("/"), False)
    row(NOBODY, page("/a/b"), False)
    row(NOBODY, CALL, True)

    row = rules("a longer prefix may be granted within a denied one",
                grant("", "service:web:/a/b/*", 2), deny("", "service:web:/a/*", 1), grant(id="z"))  # fmt: skip
    row(NOBODY, page("/a/b/c"), True)
    row(NOBODY, page("/a/c"), False)
    row(NOBODY, page("/c"), True)

    row = rules("paths have scopes of their own", grant("basic", "service:web:/shop/*", 1), grant("", "service:web:/"))
    row(JOE, page("/shop/cart"), True)
    row(BARE, page("/shop/cart"), False)
    row(STRANGER, page("/shop/cart"), False)
    row(NOBODY, page("/"), True)
    row(NOBODY, page("/other"), False)

    row = rules("letters beyond ASCII are themselves", deny("", "service:web:/café/*", 1), grant())
    row(NOBODY, page("/café/menu"), False)
    row(NOBODY, page("/CAFé/menu"), False)
    row(NOBODY, page("/cafe/menu"), True)
    return table


CASES = _cases()
