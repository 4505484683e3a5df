"""Two tenants and the operator, each with a token."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent)]

from calling import Caller, caller  # noqa: E402 - the folder above makes it importable

from tenants.models import Membership, Namespace, User  # noqa: E402
from tenants.operations import bootstrap, create_namespace  # noqa: E402


@pytest.fixture
def shop(db) -> Namespace:
    bootstrap(admin_password="micro")
    namespace = create_namespace(slug="shop", owner=User.objects.create_user("joe", "joe@shop.example", "x"))
    Membership.objects.create(user=User.objects.create_user("ann", "ann@shop.example", "x"), namespace=namespace)
    return namespace


@pytest.fixture
def rival(shop) -> Namespace:
    return create_namespace(slug="rival", owner=User.objects.create_user("eve", "eve@rival.example", "x"))


@pytest.fixture
def joe(shop) -> Caller:
    """The admin of the namespace shop."""
    return caller("joe", "shop", "admin")


@pytest.fixture
def ann(shop) -> Caller:
    """A member of the namespace shop."""
    return caller("ann", "shop")


@pytest.fixture
def eve(rival) -> Caller:
    """The admin of the namespace rival."""
    return caller("eve", "rival", "admin")


@pytest.fixture
def operator(shop) -> Caller:
    """The admin of the platform."""
    return caller("admin", "micro", "admin")
