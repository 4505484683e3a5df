"""Claims about the web process' own pages."""

from __future__ import annotations

import socket

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client


@pytest.fixture
def client() -> Client:
    return Client(headers={"host": "localhost:8082"})


@pytest.mark.django_db
def test_the_health_page_is_well_when_the_database_answers(client):
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}


@pytest.mark.django_db
def test_the_health_page_names_the_reason_when_the_database_does_not_answer(client):
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT before")
        with pytest.raises(Exception, match="no_such_table"):
            cursor.execute("SELECT * FROM no_such_table")
        answer = client.get("/healthz")
        cursor.execute("ROLLBACK TO SAVEPOINT before")
    assert answer.status_code == 503
    assert "transaction is aborted" in answer.json()["problems"]["database"]


@pytest.mark.django_db
def test_the_health_page_names_a_sidecar_of_this_machine_that_does_not_listen(client, settings, tmp_path):
    settings.MICRO_IS_SUPERVISED, settings.MICRO_RUN, settings.MICRO_SIDECAR_PROCESSES = True, tmp_path, 2
    with socket.socket(socket.AF_UNIX) as first:
        first.bind(str(tmp_path / "sidecar-0.sock"))
        first.listen()
        answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["problems"] == {"sidecar-1": "does not listen"}


def test_the_first_page_says_what_to_type_next(client, settings):
    settings.MICRO_PROXY_ADDRESS = ("127.0.0.1", 9999)
    page = client.get("/").content.decode()
    assert "micro run examples/helloworld" in page
    assert "export MICRO_PROXY=127.0.0.1:9999" in page


def test_the_first_page_tells_no_password_outside_the_local_profile(client, settings):
    settings.MICRO_PROFILE = "platform"
    page = client.get("/").content.decode()
    assert "micro login --username admin\n" in page
    assert "--password" not in page


def test_a_host_that_is_not_ours_is_refused(client):
    answer = client.get("/", headers={"host": "evil.example"})
    assert answer.status_code == 403
    assert b"sent to another host" in answer.content
    assert b"evil" not in answer.content
    answer = client.get("/v1/services", headers={"host": "evil.example"})
    assert (answer.status_code, answer["Content-Type"]) == (403, "application/problem+json")


def test_the_admins_styles_are_served_by_the_web_process(client):
    answer = client.get(f"/{settings.STATIC_URL.strip('/')}/admin/css/base.css")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/css")
