"""The deploy form, and that of a service's environment variables."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from typing import Any

from django import forms

from micro.errors import Error, InvalidArgument
from tenants import names
from tenants.access.grants import require_grants
from tenants.forms import Form, refused_by

from . import envfiles, sources
from .models import Deployment
from .operations import Changes, Order, require_variable
from .sources import addresses, git, tokens

BLANK_ROWS = 3


def _plain(placeholder: str) -> forms.TextInput:
    """A field for what people paste: no corrections, no capitals."""
    return forms.TextInput(
        attrs={"placeholder": placeholder, "autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
    )


class Unshown(forms.Textarea):
    """Many lines that are not in the page again."""

    def format_value(self, value: Any) -> None:
        """Nothing, whatever was typed."""
        return


class Deploy(Form):
    """Where the source is and what the service shall be called."""

    never_shown = ("git_token", "secrets")
    repository = forms.CharField(
        label="Git repository",
        max_length=git.LONGEST,
        widget=_plain("https://github.com/org/repository"),
        help_text="Over https. A private one needs a token, below.",
    )
    ref = forms.CharField(
        label="Branch, tag or commit", required=False, max_length=200, widget=_plain("default branch")
    )
    folder = forms.CharField(label="Folder", required=False, max_length=1024, widget=_plain("root"))
    name = forms.CharField(
        label="Service name",
        required=False,
        max_length=63,
        widget=_plain("like the repository"),
        help_text="Deploying to a name that is taken updates that service.",
    )
    git_token = forms.CharField(
        label="Access token",
        required=False,
        max_length=tokens.LONGEST,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Opens a private repository. Kept encrypted, and shown to the repository's host alone.",
    )
    variables = forms.CharField(
        label="Environment variables",
        required=False,
        max_length=65_536,
        widget=forms.Textarea(attrs={"placeholder": "NAME=value, one a line", "spellcheck": "false", "rows": 3}),
    )
    secrets = forms.CharField(
        label="Secret variables",
        required=False,
        max_length=65_536,
        widget=Unshown(attrs={"placeholder": "NAME=value, one a line", "spellcheck": "false", "rows": 3}),
        help_text="Kept encrypted and never shown again.",
    )

    grants = forms.CharField(
        label="Grants",
        required=False,
        max_length=2000,
        widget=_plain("store.read runtime.deploy"),
        help_text="What the service may do beyond a service's own, apart by blanks; left empty, what it has stays.",
    )

    def __init__(self, data: Any = None, *, namespace: str, **options: Any) -> None:
        super().__init__(data, **options)
        self.namespace = namespace

    def clean_repository(self) -> str:
        """Refuses what cannot or may not be fetched."""
        repository: str = self.cleaned_data["repository"]
        if (plain := git.without_credentials(repository)) != repository:  # a password is in no page again
            self.data = {**{name: self.data.get(name) for name in self.data}, "repository": plain}
        refused_by(lambda: require_fetchable(repository))
        return repository

    def clean_ref(self) -> str:
        """Refuses what is no ref."""
        ref: str = self.cleaned_data["ref"]
        if ref:
            refused_by(lambda: git.require_ref(ref))
        return ref

    def clean_folder(self) -> str:
        """Refuses a folder that leads elsewhere."""
        folder = self.cleaned_data["folder"].strip("/")
        refused_by(lambda: sources.require_folder(folder))
        return str(folder)

    def clean_git_token(self) -> str:
        """Refuses what can be no token."""
        token: str = self.cleaned_data["git_token"]
        refused_by(lambda: tokens.require(token))
        return token

    def clean_variables(self) -> dict[str, str]:
        """The variables by name."""
        return _pairs(self.cleaned_data["variables"])

    def clean_secrets(self) -> dict[str, str]:
        """The secret variables by name."""
        return _pairs(self.cleaned_data["secrets"])

    def clean_grants(self) -> list[str]:
        """The words, and refuses one that is no grant."""
        words: list[str] = self.cleaned_data["grants"].split()
        refused_by(lambda: require_grants(words))
        return words

    def clean_name(self) -> str:
        """Refuses what cannot be a service's name."""
        name: str = self.cleaned_data["name"]
        if name:
            refused_by(lambda: names.validate_service(name, namespace=self.namespace))
        return name

    def clean(self) -> dict[str, Any]:
        """Works out the source in its one spelling, and the name when none is given."""
        data: dict[str, Any] = self.cleaned_data
        if twice := data.get("variables", {}).keys() & data.get("secrets", {}).keys():
            self.add_error("secrets", f"{min(twice)} is among the variables that are no secrets, too.")
        if self.errors:
            return data
        try:
            data["source"] = str(source(data["repository"], folder=data["folder"], ref=data["ref"]))
        except Error as error:
            self.add_error("repository", error.detail)
            return data
        if not data["name"]:
            data["name"] = git.parse(data["source"]).name
            try:
                names.validate_service(data["name"], namespace=self.namespace)
            except Error as error:
                self.add_error("name", f"{error.detail} Give it another one here.")
        return data

    def order(self) -> Order:
        """What the valid form asks for."""
        data = self.cleaned_data
        return Order(
            source=data["source"],
            env=data["variables"],
            secrets=data["secrets"],
            git_token=data["git_token"],
            grants=data["grants"] or None,
        )


def source(repository: str, *, folder: str = "", ref: str = "") -> git.Source:
    """The source that the parts of the form name together. Raises InvalidArgument."""
    base = git.parse(repository)
    if (folder and base.folder) or (ref and base.ref):
        raise InvalidArgument("The repository names a folder or a ref already; give each of them once.")
    return git.parse(str(replace(base, folder=folder or base.folder, ref=ref or base.ref)))


def require_fetchable(repository: str) -> None:
    """Raises InvalidArgument for a repository whose address may not be fetched from; looks its host up."""
    found = git.parse(repository)
    addresses.pin(found.host, found.port)


def _pairs(text: str) -> dict[str, str]:
    """The variables in the lines of a `.env` file."""
    found = refused_by(partial(envfiles.read, _unix(text)))
    for name, value in found.items():
        refused_by(partial(require_variable, name, value))
    return found


class Variables(Form):
    """All variables of a service in rows: `name-0`, `value-0`, `secret-0`, `remove-0` …"""

    def __init__(self, data: Any = None, *, deployment: Deployment | None) -> None:
        super().__init__(data)
        self.plain: dict[str, str] = deployment.env if deployment else {}
        self.hidden: list[str] = sorted(deployment.secrets) if deployment else []

    def rows(self) -> list[dict[str, Any]]:
        """What the table shows: what there is, then blank rows; after a mistake, what was typed but for secrets."""
        if self.is_bound:
            return [{**row, "value": "", "is_hidden": True} if row["is_secret"] else row for row in self._typed()]
        kept = [{"name": name, "value": value, "is_old": True} for name, value in sorted(self.plain.items())]
        hidden = [{"name": name, "value": "", "is_old": True, "is_secret": True} for name in self.hidden]
        blank: list[dict[str, Any]] = [{"name": "", "value": ""} for _ in range(BLANK_ROWS)]
        return [*kept, *hidden, *blank]

    def clean(self) -> dict[str, Any]:
        """Refuses values without a name and names given twice, at their rows."""
        if any("problem" in row for row in self._typed()):
            raise forms.ValidationError("Nothing was changed: see the rows below.")
        return self.cleaned_data

    def changes(self) -> Changes:
        """What the rows ask for. A secret's row that is left blank keeps its value."""
        rows = [row for row in self._typed() if row["name"]]
        kept = [row for row in rows if not row["is_removed"]]
        secrets = {row["name"]: row["value"] for row in kept if row["is_secret"] and row["value"]}
        return Changes(
            plain={row["name"]: row["value"] for row in kept if not row["is_secret"] and self._is_new(row)},
            secrets=secrets,
            removed=[row["name"] for row in rows if row["is_removed"]],
        )

    def _is_new(self, row: dict[str, Any]) -> bool:
        """Whether a value is another than the stored one, whose line ends browsers do not keep."""
        name = row["name"]
        return name not in self.plain or row["value"] != _unix(self.plain[name])

    def _typed(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for index in itertools.takewhile(lambda index: f"name-{index}" in self.data, itertools.count()):
            name, value = self.data[f"name-{index}"].strip(), _unix(self.data.get(f"value-{index}", ""))
            row = {
                "name": name,
                "value": value,
                "is_old": name in self.plain or name in self.hidden,
                "is_secret": f"secret-{index}" in self.data or name in self.hidden,
                "is_removed": f"remove-{index}" in self.data,
            }
            if not name and value:
                row["problem"] = "This value has no name."
            if row["is_secret"] and name and not (value or row["is_old"]):
                row["problem"] = "This secret has no value."
            if name and any(other["name"] == name for other in rows):
                row |= {"problem": f"{name} is there already.", "is_old": False}
            rows.append(row)
        return rows


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n")
