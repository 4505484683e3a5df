"""The gateway's Lua outside Envoy: everything in it that only takes text and gives text."""

from __future__ import annotations

import base64
import json

import pytest
from lupa.luajit21 import LuaRuntime

from gateway.listeners import basic_lua_source, lua_source, resource_lua_source


@pytest.fixture(scope="module")
def lua():
    runtime = LuaRuntime(unpack_returned_tuples=True, encoding="latin-1")
    runtime.execute(lua_source("Localhost", "1.0"))
    return runtime.globals()


def parts(runtime, path: str):
    return runtime.segments(path)


@pytest.mark.parametrize(
    ("host", "namespace", "service", "foreign"),
    [
        ("localhost", None, None, None),
        ("localhost:8080", None, None, None),
        ("LOCALHOST", None, None, None),
        ("127.0.0.1:8080", None, None, None),
        ("[::1]:8080", None, None, None),
        ("", None, None, None),
        (None, None, None, None),
        ("api.localhost", None, None, None),
        ("proxy.localhost:8081", None, None, None),
        ("foo.localhost", "foo", None, None),
        ("FOO.localhost:1", "foo", None, None),
        ("web--foo.localhost:8080", "foo", "web", None),
        ("my-web--my-foo.localhost", "my-foo", "my-web", None),
        ("a--b--c.localhost", "b--c", "a", None),
        ("--foo.localhost", "foo", "", None),
        ("web--.localhost", "", "web", None),
        ("a.b.localhost", "a.b", None, None),
        (".localhost", None, None, ".localhost"),
        ("notlocalhost", None, None, "notlocalhost"),
        ("10.1.2.3:80", None, None, None),
        ("[evil.example]:80", None, None, "[evil.example]"),
        ("2130706433", None, None, "2130706433"),
        ("localhost.evil.example", None, None, "localhost.evil.example"),
        ("shop.example:443", None, None, "shop.example"),
    ],
)
def test_a_host_names_a_namespace_and_a_service(lua, host, namespace, service, foreign):
    assert lua.named_by_host(host) == (namespace, service, foreign)


@pytest.mark.parametrize(
    ("path", "rule", "service", "full"),
    [
        ("/foo", "foo", "foo", None),
        ("/foo?x=/a/b/c", "foo", "foo", None),
        ("/foo/bar", "foo", "foo", None),
        ("/foo/bar/baz", "foo", "foo", None),
        ("/foo/bar/baz/cat", "foo.bar", "foo", None),
        ("/foo/bar/baz/cat/car", "foo.bar.baz", "foo", None),
        ("/v1/foo/bar", "v1.foo", "v1", None),
        ("/v1/foo/bar/baz", "v1.foo", "v1", None),
        ("/v1/foo/bar/baz/cat", "v1.foo.bar", "v1", None),
        ("/v12", "v12", "v12", None),
        ("/vx/foo/bar", "vx", "vx", None),
        ("/greeter.v1.Hello/Call", "greeter.v1", "greeter.v1.Hello", "greeter.v1.Hello"),
    ],
)
def test_an_http_path_may_mean_these_services(lua, path, rule, service, full):
    meant = lua.meant_by_path(parts(lua, path), False)
    assert (meant.rule, meant.service, meant.full) == (rule, service, full)


@pytest.mark.parametrize(
    ("path", "service", "full"),
    [
        ("/helloworld.Helloworld/Call", "helloworld", "helloworld.Helloworld"),
        ("/foo.bar.Handler/Method", "foo.bar", "foo.bar.Handler"),
        ("/foo-bar.Foobar/Call", "foo-bar", "foo-bar.Foobar"),
        ("/Handler/Method", "", "Handler"),
    ],
)
def test_a_grpc_path_names_the_service_before_its_last_dot(lua, path, service, full):
    meant = lua.meant_by_path(parts(lua, path), True)
    assert (meant.rule, meant.service, meant.full) == (None, service, full)


@pytest.mark.parametrize(
    ("service", "path", "by_host", "expected"),
    [
        ("foo", "/foo", False, "/foo.Foo/Call"),
        ("foo", "/foo/bar", False, "/foo.Foo/Bar"),
        ("foo", "/foo/bar/baz-xyz", False, "/foo.Bar/BazXyz"),
        ("foo", "/foo/bar/listServices", False, "/foo.Bar/ListServices"),
        ("foo.bar", "/foo/bar/baz/cat", False, "/foo.bar.Baz/Cat"),
        ("v1.foo", "/v1/foo/bar", False, "/v1.foo.Foo/Bar"),
        ("v1.foo", "/v1/foo/bar/baz", False, "/v1.foo.Bar/Baz"),
        ("foo-bar", "/foo-bar", False, "/foo-bar.FooBar/Call"),
        ("foo", "/", True, "/foo.Foo/Call"),
        ("foo", "/bar", True, "/foo.Foo/Bar"),
        ("foo", "/bar/baz", True, "/foo.Bar/Baz"),
        ("foo", "/foo/a/b/c", False, None),
    ],
)
def test_a_path_means_a_method_of_a_service_without_descriptors(lua, service, path, by_host, expected):
    assert lua.method_path(service, parts(lua, path), by_host) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("name=Joe", {"name": "Joe"}),
        ("n=5&f=1.5&b=true&x=null&neg=-3", {"n": 5, "f": 1.5, "b": True, "x": None, "neg": -3}),
        ("zip=01234&v=1e5&dot=1.&minus=-", {"zip": "01234", "v": "1e5", "dot": "1.", "minus": "-"}),
        ("a=1&a=2&b=x", {"a": [1, 2], "b": "x"}),
        ("q=a+b%20c%22%5C%0A", {"q": 'a b c"\\\n'}),
        ("empty=&bare", {"empty": "", "bare": ""}),
        ("a=b=c", {"a": "b=c"}),
    ],
)
def test_a_query_becomes_a_json_object(lua, query, expected):
    assert json.loads(lua.query_json(query)) == expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("", {}),
        ("a=1&b=true&c=x+y%26z", {"a": "1", "b": "true", "c": "x y&z"}),
        ("a=1&a=2", {"a": "1,2"}),
        ('{"name": "Joe & Ann"}\n', {"name": "Joe & Ann"}),
    ],
)
def test_a_form_becomes_a_json_object_of_texts(lua, form, expected):
    assert json.loads(lua.form_json(form)) == expected


def test_json_text_survives_every_byte(lua):
    text = "".join(chr(code) for code in range(256))
    assert json.loads(lua.json_text(text)) == text


@pytest.mark.parametrize("length", [0, 1, 255, 256, 65_536, 16_777_215, 16_777_216, 4_294_967_295])
def test_a_frame_says_the_length_of_its_message(lua, length):
    assert lua.frame_header(length).encode("latin-1") == b"\0" + length.to_bytes(4, "big")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 100])
def test_frames_are_taken_off_however_the_stream_is_cut(lua, size):
    messages = [b"", b"{}", b'{"a":1}', b"x" * 300]
    stream = b"".join(b"\0" + len(each).to_bytes(4, "big") + each for each in messages)
    take = lua.unframer()
    pieces = [take(stream[at : at + size].decode("latin-1")) for at in range(0, len(stream), size)]
    assert "".join(pieces).encode("latin-1") == b"\n".join(messages)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/", "/web/"),
        ("/get?x=/y", "/web/get?x=/y"),
        ("", ""),
        ("get", "get"),
        ("../get", "../get"),
        ("?a=1", "?a=1"),
        ("/web", "/web"),
        ("/web/get", "/web/get"),
        ("/web?a", "/web?a"),
        ("/website", "/web/website"),
        ("http://h:1/get", "http://h:1/web/get"),
        ("http://H:1", "http://H:1/web"),
        ("http://h:1?a=1", "http://h:1/web?a=1"),
        ("https://h:1/web/get", "https://h:1/web/get"),
        ("http://h/get", "http://h/get"),
        ("http://h:1@evil/get", "http://h:1@evil/get"),
        ("https://example.com/get", "https://example.com/get"),
        ("//h:1/get", "//h:1/web/get"),
        ("//evil/get", "//evil/get"),
        ("mailto:a@b", "mailto:a@b"),
    ],
)
def test_a_location_is_given_its_prefix_back(lua, location, expected):
    assert lua.location_under("/web", location, "h:1") == expected


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        ("a=1", "a=1"),
        ("a=1; Path=/", "a=1; Path=/web"),
        ("a=1; path=/x; HttpOnly", "a=1; path=/web/x; HttpOnly"),
        ("a=1;PATH = /x", "a=1;PATH = /web/x"),
        ("a=1; Path=/web", "a=1; Path=/web"),
        ("a=1; Path=/web/x", "a=1; Path=/web/x"),
        ("a=1; Path=/website", "a=1; Path=/web/website"),
        ("a=1; Path=relative", "a=1; Path=relative"),
        ("a=Path=/; Secure", "a=Path=/; Secure"),
    ],
)
def test_a_cookie_is_given_its_prefix_back(lua, cookie, expected):
    assert lua.cookie_under("/web", cookie) == expected


@pytest.mark.parametrize(
    ("status", "message", "code", "detail"),
    [
        ("5", '{"id":"a","code":404,"detail":"gone","status":"Not Found"}', 404, "gone"),
        ("5", '{"Id":"a","Code":404,"Detail":"gone","Status":"Not Found"}', 404, None),
        ("4", "late", 408, "late"),
        ("16", "", 401, ""),
        ("2", "boom", 500, "boom"),
        ("14", 'with "quotes"', 503, 'with "quotes"'),
        ("3", '{"code": 200}', 400, '{"code": 200}'),
        ("3", 'not json "code": 404', 400, 'not json "code": 404'),
    ],
)
def test_a_grpc_error_becomes_micros_document(lua, status, message, code, detail):
    got, document = lua.error_document(status, message)
    assert got == code
    if detail is not None:
        assert json.loads(document)["detail"] == detail


@pytest.fixture(scope="module")
def resource():
    runtime = LuaRuntime(unpack_returned_tuples=True, encoding="latin-1")
    runtime.execute(resource_lua_source())
    return runtime.globals()


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/helloworld.Helloworld/Call", "Helloworld.Call"),
        ("/Helloworld/Call", "Helloworld.Call"),
        ("/foo-bar.v1.Foobar/List_All", "Foobar.List_All"),
        ("/helloworld.Helloworld/Call/x", None),
        ("/helloworld.Helloworld/Call/", None),
        ("/helloworld.Helloworld/Call?x", None),
        ("/helloworld.Helloworld/", None),
        ("/helloworld.Helloworld", None),
        ("/a/b.Helloworld/Call", None),
        ("//Helloworld/Call", None),
        ("/helloworld.Hell\xf6/Call", None),
        ("/helloworld.Helloworld/Call%20", None),
        ("/", None),
        ("", None),
    ],
)
def test_a_grpc_path_is_one_method_or_none(resource, path, method):
    assert resource.method_of(path) == method


@pytest.mark.parametrize(
    ("path", "prefix", "page"),
    [
        ("/", "", "/"),
        ("/web", "/web", "/"),
        ("/web/", "/web", "/"),
        ("/web?x=/a", "/web", "/"),
        ("/web/a/b?x", "/web", "/a/b"),
        ("/a/b/", "", "/a/b/"),
        ("/%61%2Db", "", "/a-b"),
        ("/a%2fb", "", "/a/b"),
        ("/a//b", "", "/a/b"),
        ("/a\\b", "", "/a/b"),
        ("/a;x=1/b;y", "", "/a/b"),
        ("/;x/a", "", "/a"),
        ("/a%3bx/b", "", "/a/b"),
        ("/a#b", "", "/a"),
        ("/..a/b..", "", "/..a/b.."),
        ("/caf%C3%A9", "", "/caf\xc3\xa9"),
        ("/a/../b", "", None),
        ("/a/..;x/b", "", None),
        ("/a/.", "", None),
        ("/%2e%2e/a", "", None),
        ("/a%0Ab", "", None),
        ("/a%00", "", None),
        ("/a%7f", "", None),
    ],
)
def test_the_spellings_of_a_page_are_one_or_refused(resource, path, prefix, page):
    assert resource.page_of(path, prefix) == page


@pytest.fixture(scope="module")
def basic():
    runtime = LuaRuntime(unpack_returned_tuples=True, encoding="latin-1")
    runtime.execute(basic_lua_source())
    return runtime.globals()


@pytest.mark.parametrize("length", range(12))
def test_base64_is_decoded_byte_for_byte(basic, length):
    content = bytes(range(250 - length, 250))
    assert basic.base64_decoded(base64.b64encode(content).decode()).encode("latin-1") == content


@pytest.mark.parametrize(
    ("credentials", "token"),
    [
        ("joe:a.b.c", "a.b.c"),
        (":a-_1.b.c", "a-_1.b.c"),
        ("a.b.c", None),
        ("joe:secret", None),
        ("joe:a.b.", None),
        ("joe:a.b.c.d", None),
        ("joe:x:a.b.c", None),
        ("joe:a.b.c\r\nx: y", None),
        ("", None),
    ],
)
def test_a_token_is_found_in_the_password_alone(basic, credentials, token):
    assert basic.token_in("Basic " + base64.b64encode(credentials.encode()).decode()) == token


@pytest.mark.parametrize("header", ["Bearer a.b.c", "Basic", "Basic !!!", "Basic a.b.c", "", "basic am9lOmEuYi5j"])
def test_no_token_is_found_elsewhere(basic, header):
    assert basic.token_in(header) is None


@pytest.mark.parametrize(
    ("cookie", "bare", "expected"),
    [
        ("a=1; Path=foo; Path=/", False, "a=1; Path=foo; Path=/web"),
        ("a=1; Path=/;Path=/x", False, "a=1; Path=/web;Path=/web/x"),
        ("a=1", True, "a=1; Path=/web"),
        ("a=1; Path=/; Path", True, "a=1; Path=/web; Path; Path=/web"),
        ("a=1; Path=/; Path ;Secure", True, "a=1; Path=/web; Path ;Secure; Path=/web"),
        ("a=/; Path = /x", True, "a=/; Path = /web/x"),
        (f"a=1; Path=/{'x' * 2000}", True, f"a=1; Path=/web/{'x' * 2000}; Path=/web"),
        ("a=1; Path=/x", True, "a=1; Path=/web/x"),
        ("a=1; Path=/; Path=", True, "a=1; Path=/web; Path=; Path=/web"),
    ],
)
def test_every_path_of_a_cookie_is_moved(lua, cookie, bare, expected):
    assert lua.cookie_under("/web", cookie, bare) == expected


@pytest.mark.parametrize(
    ("host", "is_listed"),
    [("a.example", True), ("x.lan.example", True), ("lan.example", False), ("xlan.example", False), ("", False),
     ("example", False), ("a.example.evil", False), (".a.example", False)],
)  # fmt: skip
def test_a_host_is_in_a_list_by_its_name_or_by_what_it_is_below(lua, host, is_listed):
    hosts = lua.settings.hosts
    hosts["a.example"] = hosts[".lan.example"] = True
    assert lua.is_listed(hosts, host) is is_listed


@pytest.mark.parametrize(
    ("origins", "origin", "shown"),
    [("https://a", "https://a", "https://a"), ("https://b,https://a", "https://a", "https://a"),
     ("*", "https://a", "*"), ("https://ab", "https://a", None), ("", "https://a", None), (None, "https://a", None),
     ("*", None, None)],
)  # fmt: skip
def test_a_service_shows_its_answers_to_the_origins_that_it_lists(lua, origins, origin, shown):
    assert lua.shown_to(origins, origin) == shown
