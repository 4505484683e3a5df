"""Claims about what a Dockerfile may name: not another namespace's image, nor anything that the engine would fetch."""

from __future__ import annotations

import pytest

from micro.errors import InvalidArgument
from runtime.builds import references

SERVER, OTHERS = "0a1b2c3d", "micro-0a1b2c3d/victim:7f0c"
DIGEST = "9b40161c88075d4f6a2a8dcd1d9a4a8b1f0a2d3c4e5f60718293a4b5c6d7e8f9"
REFUSED = {
    "another's by name": f"FROM {OTHERS}",
    "in capitals": f"from {OTHERS.upper()}",
    "with a registry": f"FROM docker.io/{OTHERS}",
    "with the registry's other name": f"FROM index.docker.io/{OTHERS}",
    "for a platform": f"FROM --platform=linux/amd64 {OTHERS}",
    "of another server": "FROM micro-ffffffff/mallory:1",
    "of a namespace that begins like ours": "FROM micro-0a1b2c3d/mallory-two:1",
    "by a digest": f"FROM micro-0a1b2c3d/victim@sha256:{DIGEST}",
    "by its id": f"FROM sha256:{DIGEST}",
    "by the beginning of its id": "FROM 9b4",
    "by a digit of its id": "FROM x\nFROM 0",
    "by an id in a variable": "ARG BASE=9b40\nFROM ${BASE}",
    "by a name in two variables": "ARG A=micro-0a1b\nARG B=${A}2c3d\nFROM $B/victim:7f0c",
    "by a default": f"FROM ${{BASE:-{OTHERS}}}",
    "by an alternative": "ARG BASE=x\nFROM ${BASE:+9b40}",
    "by a variable that is cut": "ARG BASE=9b40x\nFROM ${BASE%x}",
    "copied from": f"FROM scratch\nCOPY --from={OTHERS} / /",
    "copied from its id": "FROM scratch\nCOPY --link --from=9b40 / /",
    "copied from an id of digits": "FROM scratch\nCOPY --from=6017 / /",
    "copied from a quoted name": f'FROM scratch\nCOPY --from="{OTHERS}" / /',
    "added from": f"FROM scratch\nADD --from={OTHERS} / /",
    "mounted": f"FROM x\nRUN --mount=type=bind,from={OTHERS},target=/v cat /v/x",
    "mounted by its id": "FROM x\nRUN --mount=target=/v,from=9b40 cat /v/x",
    "as what a cache begins with": f"FROM x\nRUN --mount=type=cache,from={OTHERS},target=/v cat /v/x",
    "over two lines": f"FROM \\\n  {OTHERS}",
    "over lines with a comment": f"FROM x\nCOPY \\\n# nothing\n  --from={OTHERS} / /",
    "over lines by another character": f"# escape=`\nFROM x\nCOPY `\n --from={OTHERS} / /",
    "after a vertical tab": "FROM x\nCOPY\x0b--from=9b40 / /",
    "when it is built upon": f"FROM x\nONBUILD COPY --from={OTHERS} / /",
    "a stage named later": "FROM x\nCOPY --from=abc / /\nFROM y AS abc",
    "fetched": "FROM x\nADD http://127.0.0.1:8082/ /x",
    "fetched from a metadata service": "FROM x\nADD http://169.254.169.254/latest/ /x",
    "fetched by git": "FROM x\nADD git@10.0.0.1:x/y.git /x",
    "fetched, as a list": 'FROM x\nADD ["https://10.0.0.1/x", "/x"]',
    "fetched from a variable": "FROM x\nARG U=http://10.0.0.1/x\nADD $U /x",
    "fetched with a flag": "FROM x\nADD --chown=1:1 http://10.0.0.1/x /x",
    "fetched when it is built upon": "FROM x\nONBUILD ADD http://10.0.0.1/x /x",
    "the machine's network": "FROM x\nRUN --network=host curl 127.0.0.1",
    "more rights": "FROM x\nRUN --security=insecure id",
}
TAKEN = {
    "a registry's": "FROM python:3.11-slim\nCMD x",
    "one with a digest": f"FROM python@sha256:{DIGEST}\nCMD x",
    "another registry's": "FROM --platform=$BUILDPLATFORM ghcr.io/acme/base:9b40\nCMD x",
    "stages": "FROM golang AS build\nFROM build AS abc\nFROM scratch\nCOPY --from=build /x /\nCOPY --from=abc /x /",
    "stages by number": "FROM x\nFROM y\nCOPY --from=0 /x /",
    "a stage by another spelling": "FROM x AS ABC\nFROM y\nCOPY --from=abc /x /",
    "a variable": "ARG VERSION=3.11\nFROM python:${VERSION:-3.12}-slim\nARG VERSION\nRUN echo ${VERSION%.*}",
    "its own": "FROM micro-0a1b2c3d/mallory:1",
    "its own caches": "FROM x\nRUN --mount=type=cache,id=abc,target=/root/.cache pip install x",
    "a local archive": "FROM x\nADD rootfs.tar.gz /\nADD --chown=1:1 a b /c/",
    "a URL in a step": "FROM x\nRUN curl http://example.org/x\nENV HOME_PAGE=https://example.org\nLABEL url=http://x/",
    "words of a step that look like instructions": "FROM x\nRUN git remote \\\n  add origin https://example.org/x.git",
    "no network": "FROM x\nRUN --network=none true",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_anothers_or_fetched_is_refused(name):
    with pytest.raises(InvalidArgument):
        references.require_own(REFUSED[name] + "\n", server=SERVER, namespace="mallory")


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_ones_own_or_a_registrys_is_taken(name):
    references.require_own(TAKEN[name] + "\n", server=SERVER, namespace="mallory")
