"""Attacks by web pages in a real browser: on the platform's services at every door, on the REST API and the pages."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from browsing import require_chromium
from hostile_pages import Victim, deceived_chromium, deploy, doors, unrelated_site
from server import Server

KNOWN = {"id": "admin", "secret": "micro", "options": {"namespace": "micro"}}
# Logs in with the known password and deploys, in every way in which a page can make a browser ask.
TAKE_OVER = """
async ([base, login]) => {
  const got = [], url = `${base}/auth/Auth/Token`, text = JSON.stringify(login);
  const kinds = ["application/json", "text/plain", "application/x-www-form-urlencoded"];
  for (const credentials of ["omit", "include"]) for (const mode of ["cors", "no-cors", "same-origin"])
    for (const type of kinds) for (const more of [{}, {"Micro-Namespace": "micro"}]) {
      if (mode === "no-cors" && (type === kinds[0] || more["Micro-Namespace"])) continue;
      try {
        const headers = {"Content-Type": type, ...more};
        const answer = await fetch(url, {method: "POST", mode, credentials, body: text, headers});
        const said = await answer.text();
        if (said.includes("access_token")) {
          const token = JSON.parse(said).token.access_token;
          await fetch(`${base}/runtime/Runtime/Create`, {method: "POST", headers: {Authorization: `Bearer ${token}`,
            "Content-Type": "application/json"}, body: JSON.stringify({service: {name: "owned", source: "x"}})});
          got.push(said);
        }
      } catch (error) { if (!(error instanceof TypeError)) throw error; }
    }
  for (const query of ["id=admin&secret=micro"]) for (const options of [{}, {referrerPolicy: "no-referrer"}])
    try {
      const said = await (await fetch(`${url}?${query}`, options)).text();
      if (said.includes("access_token")) got.push(said);
    } catch (error) { if (!(error instanceof TypeError)) throw error; }
  navigator.sendBeacon(url, text);
  return got;
}
"""
EMBED = """
async (base) => {
  const url = `${base}/auth/Auth/Token?id=admin&secret=micro`, wait = [];
  const add = (tag, attributes) => wait.push(new Promise(done => {
    const element = Object.assign(document.createElement(tag), attributes);
    element.onload = () => done(`${tag} loaded`); element.onerror = () => done(`${tag} refused`);
    document.body.append(element);
  }));
  add("img", {src: url}); add("script", {src: url}); add("link", {rel: "stylesheet", href: url});
  wait.push(new Promise(done => {
    const source = new EventSource(url);
    source.onopen = () => done("events opened");
    source.onerror = () => { source.close(); done("events refused"); };
  }));
  wait.push(new Promise(done => {
    const socket = new WebSocket(url.replace("http", "ws"));
    socket.onopen = () => done("socket opened"); socket.onerror = () => done("socket refused");
  }));
  return Promise.all(wait);
}
"""
POST_FORM = """
([url, text]) => {
  const form = Object.assign(document.createElement("form"), {method: "POST", action: url, enctype: "text/plain"});
  const [name, value] = [text.slice(0, text.length - 1) + ',"x":"', '"}'];
  form.append(Object.assign(document.createElement("input"), {type: "hidden", name, value}));
  document.body.append(form);
  form.submit();
}
"""


@pytest.fixture(scope="module")
def evil(attacked: Server, mallory: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The attacked server with a hostile service of mallory's, and one of the operator's own at every path."""
    folder = tmp_path_factory.mktemp("evil")
    deploy(mallory, folder / "mallory", "mallory")
    deploy(attacked, folder / "micro", "micro")
    return attacked


@pytest.fixture(scope="module")
def victim(evil: Server) -> Iterator[Victim]:
    """The operator, logged in."""
    require_chromium()
    with deceived_chromium() as browser:
        victim = Victim(evil, browser.new_context())
        victim.log_in()
        yield victim


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """An unrelated server on this machine."""
    with unrelated_site() as port:
        yield port


def pages(server: Server, elsewhere: int, port: int) -> list[str]:
    """Where pages that mean ill are: elsewhere, at a tenant's own host, and at the attacked door itself."""
    return [
        f"http://127.0.0.1:{elsewhere}/",
        f"http://localhost:{elsewhere}/",
        f"http://evil.example:{elsewhere}/",
        f"http://evil--mallory.localhost:{server.api_port}/",
        f"http://mallory.localhost:{port}/evil/",
        f"http://localhost:{port}/evil/",
        f"http://127.0.0.1:{port}/evil/",
        f"http://evil.example:{port}/evil/",
    ]


def test_the_password_that_the_pages_try_is_the_right_one(evil: Server):
    for port in doors(evil).values():
        answer = httpx.post(f"http://localhost:{port}/auth/Auth/Token", json=KNOWN, timeout=20)
        assert answer.json()["token"]["access_token"]


@pytest.mark.parametrize("door", ["api", "proxy", "network"])
def test_no_page_logs_in_with_the_known_password(victim: Victim, elsewhere: int, door: str):
    port = doors(victim.server)[door]
    for page in pages(victim.server, elsewhere, port):
        victim.lure(page)
        here = "/".join(page.split("/")[:3])
        for base in {f"http://localhost:{port}", f"http://127.0.0.1:{port}", here if str(port) in here else ""} - {""}:
            assert victim.page.evaluate(TAKE_OVER, [base, KNOWN]) == [], (page, base)
        tried = [status for status, url in victim.answers if "/auth/" in url and "--" not in url]
        assert len(tried) >= 6, (page, victim.answers)
        assert set(tried) <= {403, 400}, (page, victim.answers)  # 400: the host names another namespace than the header
        assert 403 in tried
    assert victim.server.status("owned") == ""


@pytest.mark.parametrize("door", ["api", "proxy", "network"])
def test_no_page_embeds_a_platform_service_or_opens_a_stream_to_it(victim: Victim, elsewhere: int, door: str):
    port = doors(victim.server)[door]
    for page in pages(victim.server, elsewhere, port):
        victim.lure(page)
        is_there = f":{port}/" in page and "--" not in page
        outcomes = victim.page.evaluate(
            EMBED, "/".join(page.split("/")[:3]) if is_there else f"http://localhost:{port}"
        )
        assert not [outcome for outcome in outcomes if "opened" in outcome], (page, outcomes)
        assert {status for status, url in victim.answers if "/auth/" in url} == {403}, (page, victim.answers)


@pytest.mark.parametrize("door", ["api", "proxy", "network"])
def test_no_form_of_a_page_logs_in(victim: Victim, elsewhere: int, door: str):
    port = doors(victim.server)[door]
    for page in pages(victim.server, elsewhere, port):
        victim.lure(page)
        target = f"http://localhost:{port}/auth/Auth/Token"
        assert victim.submit(POST_FORM, target, json.dumps(KNOWN)) == 403, page
        assert "access_token" not in victim.page.content()


REACH = """
async (base) => {
  const got = [];
  for (const path of ["/", "/login", "/n/micro/", "/v1/services", "/healthz", "/static/micro/micro.css"])
    for (const [method, mode] of [["GET", "cors"], ["GET", "no-cors"], ["POST", "no-cors"], ["POST", "cors"]])
      try {
        const headers = {"Content-Type": "application/x-www-form-urlencoded"};
        const form = method === "POST" ? {body: "name=admin&password=micro", headers} : {};
        const answer = await fetch(base + path, {method, mode, credentials: "include", ...form});
        const said = await answer.text();
        if (said) got.push(`${method} ${path}: ${said.slice(0, 200)}`);
      } catch (error) { if (!(error instanceof TypeError)) throw error; }
  return got;
}
"""


def test_no_page_reaches_the_dashboard_or_the_rest_api(victim: Victim, elsewhere: int):
    web = victim.server.web_port
    for page in pages(victim.server, elsewhere, victim.server.api_port):
        victim.lure(page)
        for host in ("app.localhost", "localhost", "127.0.0.1"):
            assert victim.page.evaluate(REACH, f"http://{host}:{web}") == [], (page, host)
        statuses = {status for status, url in victim.answers if f":{web}/" in url}
        assert statuses == {403}, (page, victim.answers)


def test_a_name_of_the_attackers_for_this_machine_is_not_the_dashboards(victim: Victim):
    for path in ("/", "/login", "/v1/services", "/healthz"):
        answer = victim.page.goto(f"http://evil.example:{victim.server.web_port}{path}")
        assert answer
        assert answer.status == 403, path


def test_no_page_frames_the_dashboard(victim: Victim, elsewhere: int):
    for page in pages(victim.server, elsewhere, victim.server.api_port):
        victim.lure(page)
        for host in ("app.localhost", "localhost"):
            url = f"http://{host}:{victim.server.web_port}/n/micro/"
            victim.page.set_content(f"<iframe src='{url}'></iframe>")
            frame = victim.page.frames[-1]
            frame.wait_for_load_state()
            assert "micro" not in frame.evaluate("document.title"), page
    assert 200 not in {status for status, url in victim.answers if "/n/micro/" in url}


def test_no_form_of_a_page_is_taken_for_the_operators(victim: Victim, elsewhere: int):
    for page in pages(victim.server, elsewhere, victim.server.api_port):
        for host in ("app.localhost", "localhost"):
            victim.lure(page)
            target = f"http://{host}:{victim.server.web_port}/n/micro/services/evil/delete"
            assert victim.submit(POST_FORM, target, '{"name":"evil"}') == 403, page
    assert victim.server.status("evil") == "running"


def test_a_link_from_elsewhere_leads_to_the_dashboard(victim: Victim, elsewhere: int):
    victim.lure(f"http://127.0.0.1:{elsewhere}/")
    victim.page.set_content(f"<a href='http://localhost:{victim.server.web_port}/n/micro/'>there</a>")
    victim.page.get_by_text("there").click()
    victim.page.wait_for_url(f"http://app.localhost:{victim.server.web_port}/n/micro/")
    assert victim.page.title() != "evil"
