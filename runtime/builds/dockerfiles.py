"""Dockerfiles for sources that bring none: from a plan to text. Pure, but for reading what the plan names.

Layers are in the order in which they change: base, the platform's own, list of dependencies, dependencies, sources. The
build context is a folder with the sources in APP and whatever we add beside them, so that no name of ours can meet one
of theirs.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from .plans import SHELL, Plan

APP = "app"  # the sources, below the context
ADDED = "added"  # our own files, below the context
DEPENDENCIES = "dependencies.txt"  # those of a pyproject.toml, one a line
CONSTRAINTS = "constraints.txt"  # what pip has to take for micro, whoever asks for it
NGINX = "nginx.conf"

# Where packages come from, as the server's own environment says it: a build has no other part of that.
INDEXES = {
    "Python": ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"),
    "Node": ("NPM_CONFIG_REGISTRY",),
    "Go": ("GOPROXY", "GONOSUMDB", "GOPRIVATE"),
}

_PIP = "pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True)
class Images:
    """Base images, by setting."""

    python: str = "python:3.11-slim"
    node: str = "node:20-slim"
    go: str = "golang:1.24-bookworm"
    plain: str = "debian:bookworm-slim"
    static: str = "nginx:stable-bookworm"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A Dockerfile and what goes with it: files beside the sources, and what of the sources stays out."""

    text: str
    added: Mapping[str, str] = field(default_factory=dict)
    ignored: Sequence[str] = ()


def generate(plan: Plan, *, images: Images, dependencies: Sequence[str] | None = None, wheel: str = "") -> Recipe:
    """The recipe for a plan in any language but Dockerfile.

    `dependencies` are those that a pyproject.toml lists, None when they cannot be told without running something;
    `wheel` is the file name of the platform's own wheel, which the caller puts into ADDED.
    """
    if plan.language == "static":
        return _static(plan, images)
    if plan.language == "Go":
        return Recipe(_text(_go(plan, images)), ignored=_IGNORED)
    if plan.language == "Node":
        return Recipe(_text(_node(plan, images)), ignored=(*_IGNORED, f"{APP}/**/node_modules", f"{APP}/node_modules"))
    added = {DEPENDENCIES: "".join(f"{line}\n" for line in dependencies)} if dependencies else {}
    added |= {CONSTRAINTS: f"micro @ file:///tmp/{wheel}\n"} if wheel else {}
    return Recipe(_text(_python(plan, images, bool(dependencies), dependencies, wheel)), added=added, ignored=_IGNORED)


_IGNORED = (f"{APP}/.git", f"{APP}/**/__pycache__", f"{APP}/.venv", f"{APP}/venv")


def _text(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


def _copy(*names: str) -> str:
    """Files of the sources by name. The JSON form takes any name; a wildcard in one would still be one."""
    return "\n".join(_copied_into(folder, [*together]) for folder, together in groupby(names, _parent))


def _copied_into(folder: str, names: list[str]) -> str:
    return f"COPY {json.dumps([*(f'{APP}/{_literally(name)}' for name in names), f'./{folder}'])}"


def _parent(name: str) -> str:
    return name[: name.rfind("/") + 1]


def _literally(name: str) -> str:
    special = {"*": "[*]", "?": "[?]", "[": "[[]", "$": "\\$", "\\": "\\\\"}
    return "".join(special.get(character, character) for character in name)


def line(plan: Plan) -> str:
    """The start command. One that we found out ourselves is for this machine's loopback, which a container's is not."""
    return plan.line.replace("127.0.0.1", "0.0.0.0") if plan.server else plan.line  # noqa: S104 - a container's own


def _start(line: str) -> str:
    """The start command as a shell line, whatever is in it."""
    return f"CMD {json.dumps([SHELL, '-c', line])}"


def _python(
    plan: Plan, images: Images, has_list: bool, dependencies: Sequence[str] | None, wheel: str
) -> Iterator[str]:
    yield f"FROM {images.python}"
    yield from (f"ARG {name}" for name in INDEXES["Python"])
    yield "ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1"
    yield "WORKDIR /app"
    pip = _PIP
    if wheel:
        pip = f"{_PIP} --constraint /tmp/{CONSTRAINTS}"
        yield f"COPY {ADDED}/{wheel} {ADDED}/{CONSTRAINTS} /tmp/"
        yield f"RUN {pip} /tmp/{wheel}"
    needs_sources = bool(plan.dependencies) and not plan.manifests and not has_list and dependencies is None
    if has_list:
        yield f"COPY {ADDED}/{DEPENDENCIES} /tmp/"
        yield f"RUN {pip} -r /tmp/{DEPENDENCIES}"
    elif plan.manifests:
        yield _copy(*plan.manifests)
        yield f"RUN {pip} -r {shlex.quote(plan.dependencies)}"
    if plan.server:
        yield f"RUN {pip} {plan.server}"
    yield f"COPY {APP}/ ./"
    if plan.dependencies == ".":
        yield f"RUN {pip} {'--no-deps ' if dependencies is not None else ''}."
    elif needs_sources:
        yield f"RUN {pip} -r {shlex.quote(plan.dependencies)}"
    yield _start(line(plan))


def _node(plan: Plan, images: Images) -> Iterator[str]:
    yield f"FROM {images.node}"
    yield from (f"ARG {name}" for name in INDEXES["Node"])
    yield "ENV NODE_ENV=production NPM_CONFIG_UPDATE_NOTIFIER=false NPM_CONFIG_FUND=false NPM_CONFIG_AUDIT=false"
    yield "WORKDIR /app"
    yield from _installed_before_the_sources(plan)
    yield _start(plan.line)


def _installed_before_the_sources(plan: Plan) -> Iterator[str]:
    """The common order: manifests, install, sources, build; without manifests the sources come first."""
    if plan.manifests:
        yield _copy(*plan.manifests)
        yield from (f"RUN {line}" for line in (*plan.install, *plan.ahead))
    yield f"COPY {APP}/ ./"
    if not plan.manifests:
        yield from (f"RUN {line}" for line in plan.install)
    yield from (f"RUN {line}" for line in plan.build)


def _go(plan: Plan, images: Images) -> Iterator[str]:
    """Built with the toolchain, run without it; the sources stay, for templates and other files beside the program."""
    yield f"FROM {images.go} AS build"
    yield from (f"ARG {name}" for name in INDEXES["Go"])
    yield "WORKDIR /app"
    yield "ENV CGO_ENABLED=0"
    yield from _installed_before_the_sources(plan)
    yield f"FROM {images.plain}"
    yield "WORKDIR /app"
    yield "ENV PATH=/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    yield f"COPY --from=build {_CERTIFICATES} {_CERTIFICATES}"
    yield "COPY --from=build /app /app"
    yield _start(plan.line)


_NGINX = r"""worker_processes 1;
pid /tmp/nginx.pid;
error_log /dev/stderr warn;
events { worker_connections 1024; }
http {
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  access_log off;
  server_tokens off;
  sendfile on;
  gzip on;
  gzip_types text/css application/javascript application/json image/svg+xml text/plain;
  absolute_redirect off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server {
    listen $PORT;
    root /srv;
    index index.html;
    location ~ /\.(?!well-known/) { return 404; }
    location / { try_files $uri $uri.html $uri/ =404; }
    error_page 404 /404.html;
  }
}
"""


# A link may lead to any file of the image, which is not the site's.
_WITHOUT_LINKS_OUT = (
    """find /srv -type l -exec sh -c 'case "$(readlink -f "$1")" in /srv/*) ;; *) rm -- "$1" ;; esac' sh {} ';'"""
)


def _static(plan: Plan, images: Images) -> Recipe:
    """Files behind nginx. Names that begin with a dot stay out of the image, and would not be served from it."""
    folder = f"{_literally(plan.folder)}/" if plan.folder else ""
    conf = "/tmp/nginx.conf"  # noqa: S108 - the container's own
    lines = [
        f"FROM {images.static}",
        f"COPY {ADDED}/{NGINX} /etc/nginx/micro.conf",
        f"COPY {json.dumps([f'{APP}/{folder}', '/srv/'])}",
        f"RUN {_WITHOUT_LINKS_OUT}",
        _start(f'sed "s/\\$PORT/$PORT/" /etc/nginx/micro.conf >{conf}; exec nginx -c {conf} -g "daemon off;"'),
    ]
    dotted = (f"{APP}/**/.*", f"!{APP}/**/.well-known")
    return Recipe(_text(iter(lines)), added={NGINX: _NGINX}, ignored=dotted)
