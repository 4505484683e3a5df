from __future__ import annotations

import pytest

from micro.errors import InvalidArgument
from tenants.names import validate_namespace, validate_service

BAD_LABELS = ["", "-a", "a-", "a--b", "A", "a_b", "a b", "a/b", "ä", "a\n", "a\x00", "..", "-", "*"]  # fmt: skip


@pytest.mark.parametrize("slug", ["a", "foo", "a-b", "0", "x" * 40])
def test_labels_name_namespaces(slug):
    validate_namespace(slug)


@pytest.mark.parametrize("slug", [*BAD_LABELS, "a.b", "x" * 41])
def test_whatever_is_not_one_label_of_a_host_names_no_namespace(slug):
    with pytest.raises(InvalidArgument):
        validate_namespace(slug)


def test_the_operator_reserves_names(settings):
    settings.MICRO_RESERVED_NAMES = ("billing",)
    with pytest.raises(InvalidArgument, match="reserved"):
        validate_namespace("billing")


@pytest.mark.parametrize("name", ["helloworld", "foo-bar", "foo.bar", "v1.foo", "x" * 63])
def test_labels_with_dots_name_services(name):
    validate_service(name)


@pytest.mark.parametrize("name", [*BAD_LABELS, ".a", "a.", "a..b", "x" * 64])
def test_whatever_has_no_place_in_a_path_names_no_service(name):
    with pytest.raises(InvalidArgument):
        validate_service(name)


@pytest.mark.parametrize("name", ["auth", "runtime", "registry", "store", "grpc.health.v1"])
def test_the_names_of_the_platforms_own_services_are_refused(name):
    with pytest.raises(InvalidArgument, match="platform's own"):
        validate_service(name)


def test_a_service_and_its_namespace_fit_into_one_label():
    validate_service("s" * 31, namespace="n" * 30)
    validate_service("a." + "s" * 40, namespace="n" * 30)
    with pytest.raises(InvalidArgument, match="too long"):
        validate_service("s" * 32, namespace="n" * 30)
