"""What a deployment, an update and a redeployment may ask for, and what they keep of what was there."""

from __future__ import annotations

import shutil

import pytest
from deploying import ADMIN, hello

from micro.errors import InvalidArgument, NotFound, ResourceExhausted
from runtime import operations
from runtime.models import Service
from tenants.operations import create_namespace

pytestmark = pytest.mark.django_db(transaction=True)


def test_more_replicas_than_the_namespace_may_have_are_refused_and_nothing_is_made(platform, settings):
    settings.MICRO_DEFAULT_REPLICAS = 3
    platform.queue("one", hello("1"), instances=2)
    with pytest.raises(ResourceExhausted):
        platform.queue("two", hello("2"), instances=2)
    assert Service.objects.in_namespace("micro").count() == 1
    platform.queue("one", hello("1"), instances=3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"env": {"A B": "x"}},
        {"env": {"PORT": "1"}},
        {"env": {"MICRO_AUTH_SECRET": "x"}},
        {"env": {"MICRO_PROTOCOL": "smtp"}},
        {"env": {"A": "\0"}},
        {"command": ["x\0"]},
        {"folder": "../x"},
        {"folder": "/etc"},
        {"instances": -1},
        {"instances": 1000},
    ],
)
def test_an_order_that_makes_no_sense_is_refused(platform, wrong):
    with pytest.raises(InvalidArgument):
        platform.queue("web", hello("one"), **wrong)
    assert not Service.objects.in_namespace("micro").exists()


@pytest.mark.parametrize("name", ["", "A", "a--b", "-a", "a-", "auth", "a/b", "a b", "a;id", "$(id)", "x" * 64])
def test_a_name_outside_the_grammar_is_refused(platform, name):
    order = operations.Order(source="github.com/a/b")
    with pytest.raises(InvalidArgument):
        operations.deploy(namespace=platform.namespace, name=name, version="latest", order=order, by=ADMIN)


def test_an_update_of_what_is_not_there_is_not_found(platform):
    order = operations.Order(source="github.com/a/b")
    with pytest.raises(NotFound, match=r"^web@v2 not found; run it first with micro run$"):
        operations.update(namespace=platform.namespace, name="web", version="v2", order=order, by=ADMIN)


def test_an_update_keeps_the_environment_and_the_number_of_instances(platform):
    platform.queue("web", hello("one"), env={"COLOUR": "blue"}, instances=2)
    order = operations.Order(source="github.com/a/b")
    second = operations.update(namespace=platform.namespace, name="web", version="latest", order=order, by=ADMIN)
    assert second.env == {"COLOUR": "blue"}
    assert second.instances == 2


def test_a_deployment_of_what_is_there_keeps_each_variable_and_the_instances_it_does_not_name(platform):
    first = {"COLOUR": "blue", "SHAPE": "round", "TOKEN": "plain"}
    platform.queue("web", hello("one"), env=first, instances=2, command=["python", "main.py"])
    second = platform.queue("web", hello("two"), env={"COLOUR": "red"}, secrets={"TOKEN": "sealed"})
    assert second.env == {"COLOUR": "red", "SHAPE": "round"}
    assert list(second.secrets) == ["TOKEN"]
    assert second.instances == 2
    assert second.command == []
    third = platform.queue("web", hello("three"), env={"TOKEN": "plain"}, instances=1)
    assert (third.env, third.secrets, third.instances) == ({**second.env, "TOKEN": "plain"}, {}, 1)


def test_an_update_changes_the_variables_it_names_and_no_other(platform):
    platform.queue("web", hello("one"), env={"COLOUR": "blue", "SHAPE": "round"}, command=["python", "main.py"])
    order = operations.Order(source="", env={"COLOUR": "red"})
    second = operations.update(namespace=platform.namespace, name="web", version="latest", order=order, by=ADMIN)
    assert second.env == {"COLOUR": "red", "SHAPE": "round"}
    assert second.command == ["python", "main.py"]


def test_an_update_without_a_source_deploys_the_last_one_again(platform):
    first = platform.queue("web", hello("one"), env={"COLOUR": "blue"})
    order = operations.Order(source="", instances=3)
    second = operations.update(namespace=platform.namespace, name="web", version="latest", order=order, by=ADMIN)
    assert (second.source, second.env, second.instances) == (first.source, {"COLOUR": "blue"}, 3)
    assert platform.again(first).state == "superseded"
    assert platform.report("web").service.source == "source://web:latest"


def test_a_deployment_is_done_again_as_it_was(platform):
    first = platform.queue("web", hello("one"), env={"COLOUR": "blue"}, command=["python", "main.py"], instances=2)
    platform.queue("web", hello("two"), env={"COLOUR": "red"})
    third = operations.redeploy(namespace=platform.namespace, deployment_id=first.pk, by=ADMIN)
    assert (third.source, third.env, third.command, third.instances) == (
        first.source,
        {"COLOUR": "blue"},
        ["python", "main.py"],
        2,
    )


def test_a_deployment_whose_archive_is_gone_is_not_done_again(platform, home):
    first = platform.queue("web", hello("one"))
    shutil.rmtree(home / "sources")
    with pytest.raises(NotFound, match="upload it again"):
        operations.redeploy(namespace=platform.namespace, deployment_id=first.pk, by=ADMIN)
    assert platform.again(first).state == "queued"


def test_a_deployment_of_another_namespace_or_of_a_killed_service_is_not_done_again(platform):
    first = platform.queue("web", hello("one"))
    acme = create_namespace(slug="acme")
    with pytest.raises(NotFound, match="no such deployment"):
        operations.redeploy(namespace=acme, deployment_id=first.pk, by=ADMIN)
    platform.kill("web")
    with pytest.raises(NotFound, match="no such deployment"):
        operations.redeploy(namespace=platform.namespace, deployment_id=first.pk, by=ADMIN)
