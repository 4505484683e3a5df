"""What a namespace may keep of sources that were sent, and when they go."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import pytest
from deploying import hello, pack
from django.utils.timezone import now

from micro.errors import ResourceExhausted
from runtime import folders, housekeeping
from runtime.models import Upload
from runtime.sources import uploads
from runtime.sources.uploads import Incoming
from tenants.operations import create_namespace

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop(namespace, home):
    return create_namespace(slug="shop")


def upload(namespace, name: str, words: str = "x") -> None:
    with Incoming(namespace.slug) as archive:
        archive.write(pack(hello(words)))
        archive.keep(namespace=namespace, name=name, version="latest")


def archives(namespace) -> int:
    return len(list(folders.archives(namespace.slug).iterdir()))


def age(namespace) -> None:
    """Make its archives ten minutes old."""
    for path in folders.archives(namespace.slug).iterdir():
        os.utime(path, (time.time() - 600, time.time() - 600))


def test_a_namespace_keeps_so_many_bytes_and_another_one_its_own(namespace, shop, settings):
    settings.MICRO_DEFAULT_UPLOAD_BYTES = 3 * uploads.LEAST_BYTES
    for number in range(3):
        upload(shop, f"s{number}", f"words {number}")
    with pytest.raises(ResourceExhausted, match="Namespace 'shop' may keep 196608 bytes of sources"):
        upload(shop, "s3", "others")
    assert list(folders.unfinished().iterdir()) == []
    upload(namespace, "s3")


def test_what_is_sent_at_once_counts_before_any_of_it_is_kept(shop, settings):
    settings.MICRO_DEFAULT_UPLOAD_BYTES = 5 << 20
    with Incoming("shop") as first, Incoming("shop") as second:
        for archive in (first, second, first, second):
            archive.write(b"x" * (1 << 20))
        with pytest.raises(ResourceExhausted):
            first.write(b"x" * (2 << 20))
    with Incoming("shop") as third:
        third.write(b"x" * (1 << 20))


def test_a_namespace_whose_name_begins_alike_counts_for_itself(shop, settings):
    settings.MICRO_DEFAULT_UPLOAD_BYTES = 2 << 20
    with Incoming("shop-two") as other:
        other.write(b"x" * (1 << 20))
        assert uploads.used_bytes("shop") == 0


def test_an_upload_that_is_replaced_is_gone_at_once_unless_it_is_about_to_be_built(platform):
    upload(platform.namespace, "web", "one")
    upload(platform.namespace, "web", "two")
    assert archives(platform.namespace) == 1
    platform.queue("web", hello("three"))
    upload(platform.namespace, "web", "four")
    assert archives(platform.namespace) == 2


def test_what_was_never_deployed_goes_after_a_day_and_what_was_stays(platform, settings):
    platform.queue("web", hello("deployed"))
    upload(platform.namespace, "never", "never deployed")
    age(platform.namespace)
    housekeeping.remove_archives()
    assert archives(platform.namespace) == 2
    rows = Upload.objects.across_namespaces()
    rows.update(created_at=now() - settings.MICRO_UPLOAD_LIFE - timedelta(seconds=1))
    housekeeping.remove_archives()
    assert archives(platform.namespace) == 1
    assert [row.name for row in rows.all()] == ["web"]


def test_the_same_archive_deployed_in_another_namespace_keeps_none_here(platform, shop, settings):
    platform.queue("web", hello("same"))
    upload(shop, "web", "same")
    age(shop)
    Upload.objects.in_namespace("shop").update(created_at=now() - settings.MICRO_UPLOAD_LIFE - timedelta(seconds=1))
    housekeeping.remove_archives()
    assert (archives(shop), archives(platform.namespace)) == (0, 1)
