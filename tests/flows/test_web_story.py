"""The story in a browser: sign up, paste a git URL, watch it run, follow the link."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import PASSWORD, Visitor, chromium, require_chromium
from gitserver import GitServer
from playwright.sync_api import Browser, expect
from server import Server

KB = 1024
LOUD = """
import http.server, os, time
for number in range(8):
    print("warming up", number, flush=True)
    time.sleep(0.25)
print("\\x1b[32mready\\x1b[0m for <b>visitors</b>", flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(" ".join([os.environ.get("COLOUR", ""), os.environ.get("TOKEN", "")]).encode())
        print("served", self.path, flush=True)
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FOR_EVERYBODY = [
    "/",
    "/signup",
    "/signup/code?email=a@b.org",
    "/login",
    "/reset",
    "/reset/code?email=a@b.org",
    "/v1/docs",
]
OF_A_NAMESPACE = [
    "/n/joe/",
    "/n/joe/services/shop",
    "/n/joe/deploy",
    "/n/joe/tokens",
    "/n/none/",
    "/device",
    "/device/done",
]
BROKEN = {"main.py": "raise SystemExit('the moon is in the wrong phase')\n", "Procfile": "web: python main.py\n"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require_chromium()
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def joe(server: Server, browser: Browser) -> Visitor:
    """Somebody who has signed up."""
    visitor = Visitor(server, browser.new_context())
    visitor.sign_up("joe@example.org", "joe")
    return visitor


@pytest.fixture(scope="module")
def shop(joe: Visitor, git: GitServer) -> str:
    """The address of a service that joe has deployed by the form."""
    git.commit("shop", {"main.py": LOUD, "Procfile": "web: python main.py\n"})
    joe.go("/n/joe/")
    joe.deploy(git.url("shop"))
    link = joe.page.locator("#steps .success a")
    link.wait_for(timeout=60_000)
    return str(link.get_attribute("href"))


def test_the_password_of_the_sign_up_logs_the_command_line_in(joe, server):
    server.micro("user", "namespace", "set", "joe")
    server.micro("login", "--username", "joe@example.org", "--password", PASSWORD)
    assert server.micro("status").returncode == 0
    server.micro("user", "namespace", "set", "micro")
    server.login()


def test_httpbin_from_its_repository_is_seen_at_the_link(joe, git):
    git.commit(
        "httpbin",
        {
            "requirements.txt": "httpbin==0.10.2\ngunicorn\n",
            "Procfile": "web: gunicorn -k gthread --threads 8 -b 127.0.0.1:$PORT httpbin:app\n",
        },
    )
    joe.go("/n/joe/")
    joe.deploy(git.url("httpbin"))
    log = joe.page.locator("#log")
    expect(log).to_contain_text("Fetching http")
    expect(log).to_contain_text("Detected Python", timeout=30_000)
    expect(joe.page.locator("#steps [aria-current=step]")).to_be_visible()
    link = joe.page.locator("#steps .success a")
    link.wait_for(timeout=300_000)
    page = joe.context.new_page()
    assert page.goto(f"{link.get_attribute('href')}/get?a=1").json()["args"] == {"a": "1"}
    page.goto(link.get_attribute("href"))
    assert "httpbin" in page.title()
    page.close()
    assert joe.noticed == []


def test_the_log_arrives_line_by_line(joe, shop):
    joe.go("/n/joe/services/shop")
    expect(joe.page.locator("#light")).to_have_text("live")
    log = joe.page.locator("#log")
    expect(log).to_contain_text("warming up 7")
    expect(log).to_contain_text("ready for <b>visitors</b>")  # its colour is one, its markup is text
    assert log.locator("b").count() == 0
    assert set(log.locator(".c2").all_inner_texts()) == {"ready"}
    for number in range(3):
        page = joe.context.new_page()
        page.goto(f"{shop}/visit-{number}")
        page.close()
        expect(log).to_contain_text(f"served /visit-{number}", timeout=5000)


def test_a_page_that_nobody_looks_at_lets_go_of_its_stream(joe, shop, server):
    """A browser has six connections to a host, for all its tabs."""
    joe.go("/n/joe/services/shop")
    light = joe.page.locator("#light")
    expect(light).to_have_text("live")
    expect(joe.page.locator("#log")).to_contain_text("warming up 7")
    before = joe.page.locator("#log").inner_text().count("warming up 7")
    look = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
    look += " document.dispatchEvent(new Event('visibilitychange')) }"
    joe.page.evaluate(look, True)
    expect(light).to_have_text("paused")
    server.get("/unseen", host=shop.partition("://")[2].partition(":")[0])
    joe.page.evaluate(look, False)
    expect(light).to_have_text("live")
    expect(joe.page.locator("#log")).to_contain_text("served /unseen")
    assert joe.page.locator("#log").inner_text().count("warming up 7") == before


def test_steps_and_lines_come_while_it_starts(joe, shop):
    joe.go("/n/joe/services/shop")
    joe.page.get_by_role("button", name="Redeploy").click()
    seen = set()
    for _ in range(400):
        now = joe.page.locator("#steps [aria-current=step]")
        seen |= set(now.all_inner_texts())
        if joe.page.locator("#steps .success").count():
            break
        joe.page.wait_for_timeout(25)
    assert "Start" in seen
    expect(joe.page.locator("#log")).to_contain_text("is built; starting it")
    expect(joe.page.locator("#light")).to_have_text("ended", timeout=10_000)


def test_a_commit_that_fails_shows_why_and_the_old_one_goes_on(joe, shop, git):
    git.commit("shop", BROKEN)
    joe.go("/n/joe/")
    joe.deploy(git.url("shop"))
    notice = joe.page.locator("#steps .error")
    notice.wait_for(timeout=60_000)
    expect(notice).to_contain_text("the moon is in the wrong phase")
    expect(joe.page.locator("#steps .failed")).to_contain_text("Start")
    expect(notice).to_contain_text("What ran before goes on running.")
    page = joe.context.new_page()
    assert page.goto(shop).status == 200
    page.close()
    joe.go("/n/joe/services/shop")
    expect(joe.page.locator(".notice.error")).to_contain_text("moon")
    git.commit("shop", {"main.py": LOUD, "Procfile": "web: python main.py\n"})


def test_variables_reach_the_service_and_secrets_are_never_shown_again(joe, shop):
    joe.go("/n/joe/services/shop")
    joe.page.locator("[name=name-0]").fill("COLOUR")
    joe.page.locator("[name=value-0]").fill("blue")
    joe.page.locator("[name=name-1]").fill("TOKEN")
    joe.page.locator("[name=value-1]").fill("s3cret")
    joe.page.locator("[name=secret-1]").check()
    joe.page.get_by_role("button", name="Save and deploy").click()
    joe.page.locator("#steps .success").wait_for(timeout=60_000)
    page = joe.context.new_page()
    page.goto(shop)
    assert page.inner_text("body") == "blue s3cret"
    page.close()
    joe.go("/n/joe/services/shop")
    assert "s3cret" not in joe.page.content()
    expect(joe.page.locator("[name=name-1]")).to_have_value("TOKEN")


def test_an_address_that_may_not_be_fetched_is_refused_while_it_is_typed(joe):
    joe.go("/n/joe/deploy")
    joe.page.get_by_label("Git repository").press_sequentially("ext::sh -c id", delay=5)
    expect(joe.page.locator("#repository-said")).to_contain_text("transport helper")
    joe.page.get_by_label("Git repository").fill("https://169.254.169.254/latest")
    joe.page.get_by_role("button", name="Deploy", exact=True).click()
    expect(joe.page.locator("#repository-said")).to_contain_text("is not the name of a public host")


def test_a_second_user_sees_nothing_of_the_first(server, browser, shop):
    eve = Visitor(server, browser.new_context())
    eve.sign_up("eve@example.org", "eve")
    assert "shop" not in eve.page.content()
    for path in ("/n/joe/", "/n/joe/services/shop", "/n/joe/services/shop/stream", "/n/joe/deploy", "/n/none/"):
        answer = eve.go(path)
        assert answer.status == 404, path
        assert "shop" not in answer.text()
    eve.go("/n/eve/")
    eve.page.get_by_role("button", name="Log out").click()
    eve.go("/n/eve/")
    assert eve.page.url.endswith("/login?next=/n/eve/")


def test_logging_in_again_leads_back(server, browser, joe):
    visitor = Visitor(server, browser.new_context())
    visitor.go("/n/joe/deploy")
    visitor.page.get_by_label("E-mail address").fill("Joe@example.org")
    visitor.page.get_by_label("Password").fill("wrong")
    visitor.page.get_by_role("button", name="Log in").click()
    expect(visitor.page.locator("[role=alert]")).to_contain_text("is wrong")
    visitor.page.get_by_label("Password").fill(PASSWORD)
    visitor.page.get_by_role("button", name="Log in").click()
    visitor.page.wait_for_url("**/n/joe/deploy")


def test_a_forgotten_password_is_set_anew(server, browser):
    visitor = Visitor(server, browser.new_context())
    visitor.sign_up("forgetful@example.org", "forgetful")
    visitor.page.get_by_role("button", name="Log out").click()
    visitor.go("/login")
    visitor.page.get_by_role("link", name="Forgotten your password?").click()
    visitor.page.get_by_label("E-mail address").fill("forgetful@example.org")
    visitor.page.get_by_role("button", name="Send me a code").click()
    visitor.page.get_by_label("Code from the e-mail").fill(visitor.mailed_code("forgetful@example.org"))
    visitor.page.get_by_label("Password").fill("another horse 8")
    visitor.page.get_by_role("button", name="Change my password").click()
    visitor.page.get_by_label("E-mail address").fill("forgetful@example.org")
    visitor.page.get_by_label("Password").fill("another horse 8")
    visitor.page.get_by_role("button", name="Log in").click()
    visitor.page.wait_for_url("**/n/forgetful/")


def test_everything_but_the_live_log_works_without_a_script(server, browser, git):
    git.commit("quiet", {"main.py": LOUD, "Procfile": "web: python main.py\n"})
    visitor = Visitor(server, browser.new_context(java_script_enabled=False))
    visitor.sign_up("plain@example.org", "plain")
    visitor.deploy(git.url("quiet"))
    visitor.page.locator("#steps .success").wait_for(timeout=60_000)  # the page reloads itself
    visitor.page.get_by_role("link", name="as text").click()
    assert "is built; starting it" in visitor.page.inner_text("body")
    visitor.go("/n/plain/services/quiet")
    visitor.page.locator("#delete-name").fill("quiet")
    visitor.page.get_by_role("button", name="Delete quiet").click()
    expect(visitor.page.locator(".notice.success")).to_contain_text("is deleted")


@pytest.mark.parametrize("look", ["phone", "dark", "light"])
def test_every_page_fits_in_light_and_dark_and_on_a_phone(server, browser, joe, shop, look, tmp_path: Path):
    options = {
        "phone": {"viewport": {"width": 360, "height": 740}, "is_mobile": True},
        "dark": {"color_scheme": "dark"},
        "light": {"color_scheme": "light"},
    }[look]
    context = browser.new_context(storage_state=joe.context.storage_state(), **options)
    visitor = Visitor(server, context)
    stranger = Visitor(server, browser.new_context(**options))
    visits = [(stranger, path) for path in FOR_EVERYBODY] + [(visitor, path) for path in OF_A_NAMESPACE]
    for who, path in visits:
        who.go(path)
        too_wide = who.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide <= 0, f"{path} is {too_wide} px too wide"
        if look != "phone":
            found = Axe().run(who.page).response["violations"]
            assert [(path, one["help"], one["nodes"][0]["html"]) for one in found] == []
    light = visitor.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (light == "rgb(15, 17, 21)") is (look == "dark")
    assert visitor.noticed + stranger.noticed == []


def test_the_keyboard_is_enough(server, browser, git, joe):
    git.commit("keys", {"main.py": LOUD, "Procfile": "web: python main.py\n"})
    visitor = Visitor(server, browser.new_context(storage_state=joe.context.storage_state()))
    visitor.go("/n/joe/")
    visitor.page.keyboard.press("Tab")
    assert focused(visitor) == "Skip to the content"
    visitor.page.keyboard.press("Enter")
    tab_to(visitor, "Deploy")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url("**/deploy")
    tab_to(visitor, "Git repository")
    visitor.page.keyboard.type(git.url("keys"))
    tab_to(visitor, "Environment variables")
    visitor.page.keyboard.press("Enter")
    visitor.page.keyboard.press("Tab")
    visitor.page.keyboard.type("COLOUR=green")
    tab_to(visitor, "Deploy")
    visitor.page.keyboard.press("Enter")
    visitor.page.locator("#steps .success").wait_for(timeout=60_000)
    tab_to(visitor, "To the service")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url("**/services/keys")
    expect(visitor.page.locator("[name=value-0]")).to_have_value("COLOUR=green".partition("=")[2])
    tab_to(visitor, "Type keys to confirm")
    visitor.page.keyboard.type("keys")
    visitor.page.keyboard.press("Enter")
    expect(visitor.page.locator(".notice.success")).to_contain_text("is deleted")


def focused(visitor: Visitor) -> str:
    """What a reader is told of the element that has the focus: its label or its words."""
    return str(
        visitor.page.evaluate(
            "(e => (e.labels?.[0]?.innerText ?? e.getAttribute('aria-label') ?? e.innerText ?? '').trim())"
            "(document.activeElement)"
        )
    )


def tab_to(visitor: Visitor, label: str) -> None:
    """Press the tab key until the element has the focus, which must then be seen."""
    for _ in range(60):
        visitor.page.keyboard.press("Tab")
        if focused(visitor).removesuffix(" (optional)") == label:
            outline = visitor.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"the focus on {label} is not seen"
            return
    raise AssertionError(f"{label} is never reached.")


def test_an_operator_deploys_anew_in_the_admin_under_the_same_policy(server, browser, joe, shop):
    operator = Visitor(server, browser.new_context())
    operator.go("/admin/")
    operator.page.get_by_label("E-mail address").fill("admin")
    operator.page.get_by_label("Password").fill("micro")
    operator.page.get_by_role("button", name="Log in").click()
    operator.page.wait_for_url("**/admin/")
    operator.page.get_by_role("link", name="Services", exact=True).first.click()
    operator.page.get_by_role("textbox").first.fill("shop")
    operator.page.get_by_role("button", name="Search").click()
    operator.page.locator("#result_list tbody [type=checkbox]").check()
    operator.page.locator("select[name=action]").select_option("deploy")
    operator.page.get_by_role("button", name="Go").click()
    expect(operator.page.locator(".messagelist")).to_contain_text("a new deployment is queued")
    for page in ("runtime/build", "runtime/deployment", "tenants/user", "tenants/namespace"):
        operator.go(f"/admin/{page}/")
        operator.page.locator("#result_list tbody th a").first.click()
        expect(operator.page.locator("#content h1")).to_be_visible()
    assert operator.noticed == []
    joe.go("/n/joe/services/shop")
    expect(joe.page.locator("#deployments tbody tr").first).to_contain_text("admin")


def test_pages_are_small_and_load_nothing_from_elsewhere(server, browser, joe, shop):
    visitor = Visitor(server, browser.new_context(storage_state=joe.context.storage_state()))
    sizes: dict[str, int] = {}
    visitor.page.on("response", lambda answer: sizes.update({answer.url: _size(answer)}))
    for path in (*FOR_EVERYBODY, *OF_A_NAMESPACE):
        sizes.clear()
        visitor.go(path)
        visitor.page.wait_for_timeout(300)
        scripts = sum(size for url, size in sizes.items() if url.endswith(".js"))
        styles = sum(size for url, size in sizes.items() if url.endswith(".css"))
        assert len(visitor.page.content()) <= 60 * KB, path
        assert scripts <= 60 * KB, path
        assert 0 < styles <= 30 * KB, path
    assert visitor.noticed == []


def test_a_deleted_service_is_gone(joe, shop):
    joe.go("/n/joe/services/shop")
    joe.page.locator("#delete-name").fill("shop")
    joe.page.get_by_role("button", name="Delete shop").click()
    expect(joe.page.locator(".notice.success")).to_contain_text("is deleted")
    assert joe.go("/n/joe/services/shop").status == 404
    assert joe.noticed == []


def _size(answer: object) -> int:
    """The uncompressed size of a file; nothing for what has no end."""
    return len(answer.body()) if answer.url.endswith((".js", ".css")) else 0  # type: ignore[attr-defined]
