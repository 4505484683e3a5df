"""The forms of signing up, logging in, resetting, and of API tokens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django import forms

from micro.errors import Error

from . import signup
from .access.roles import Role
from .models import User

Result = TypeVar("Result")
FOR_EVER = "ever"
AGAIN = "Type it again: it is not shown."


class Form(forms.Form):
    """A form that can be carried out: what an operation refuses is said next to the field that is to blame."""

    status = 200
    never_shown: tuple[str, ...] = ()  # fields whose values are not in the page again, whatever was wrong
    refusal: Error | None = None

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, label_suffix="", **options)

    def carry_out(self, operation: Callable[[dict[str, Any]], Result], *, blame: str | None = None) -> Result | None:
        """The operation's result, from the valid values; None when something is wrong, which the form then says."""
        self.status = 422
        if not self.is_valid():
            self._point_out()
            return None
        try:
            result = operation(self.cleaned_data)
        except Error as error:
            self.add_error(blame if error.http == 400 else None, error.detail)
            self.status, self.refusal = error.http, error
            self._point_out()
            return None
        self.status = 200
        return result

    def _point_out(self) -> None:
        """Put the cursor into the first field that is wrong, and say what has to be typed again."""
        for name in self.never_shown:
            if self.data.get(name):
                self[name].help_text = AGAIN
        wrong = [field for name, field in self.fields.items() if name in self.errors]
        for field in self.fields.values():
            field.widget.attrs.pop("autofocus", None)
        for field in wrong[:1]:
            field.widget.attrs["autofocus"] = ""


def refused_by(check: Callable[[], Result]) -> Result:
    """Turn an error of ours into one of a field; returns what `check` returns."""
    try:
        return check()
    except Error as error:
        raise forms.ValidationError(error.detail) from None


def _email(**attributes: str) -> forms.EmailField:
    shown = forms.EmailInput(attrs={"autocomplete": "email", "placeholder": "you@example.org", **attributes})
    return forms.EmailField(label="E-mail address", max_length=150, widget=shown)


def _new_password() -> forms.CharField:
    shown = forms.PasswordInput(attrs={"autocomplete": "new-password"})
    return forms.CharField(
        label="Password", max_length=500, strip=False, widget=shown, help_text="At least 10 characters."
    )


def _code() -> forms.CharField:
    shown = forms.TextInput(
        attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "placeholder": "123456", "class": "code"}
    )
    return forms.CharField(label="Code from the e-mail", max_length=20, widget=shown)


class LogIn(Form):
    """Name and password."""

    name = forms.CharField(
        label="E-mail address or name",
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "username", "autofocus": ""}),
    )
    password = forms.CharField(
        max_length=500, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class Address(Form):
    """Where to send a code."""

    email = _email(autofocus="")


class SignUp(Form):
    """The second step: what the user shall have."""

    never_shown = ("password",)
    email = forms.EmailField(widget=forms.HiddenInput, max_length=150)
    code = _code()
    password = _new_password()
    namespace = forms.CharField(
        label="Name of your namespace",
        max_length=40,
        help_text="Your services live in it. It becomes part of their addresses.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )

    def clean_password(self) -> str:
        """Refuses one that is easily guessed."""
        password: str = self.cleaned_data["password"]
        email = self.cleaned_data.get("email", "")
        refused_by(lambda: signup.require_password(password, User(username=email, email=email)))
        return password

    def clean_namespace(self) -> str:
        """Refuses one that is malformed, reserved or taken."""
        namespace: str = self.cleaned_data["namespace"]
        refused_by(lambda: signup.require_free(namespace))
        return namespace


class Reset(Form):
    """The second step of getting back in."""

    never_shown = ("password",)
    email = forms.EmailField(widget=forms.HiddenInput, max_length=150)
    code = _code()
    password = _new_password()

    clean_password = SignUp.clean_password


class DeviceCode(Form):
    """The code that a terminal shows."""

    code = forms.CharField(
        label="Code in the terminal",
        max_length=20,
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "characters", "placeholder": "BCDF-GHJK", "class": "code"}
        ),
    )


class Device(Form):
    """A program that wants to log in, and where it shall work."""

    code = forms.CharField(max_length=20, widget=forms.HiddenInput)
    namespace = forms.ChoiceField(label="It works in the namespace")

    def __init__(self, data: Any = None, *, namespaces: list[str], **options: Any) -> None:
        super().__init__(data, **options)
        self.fields["namespace"].choices = [(slug, slug) for slug in namespaces]  # type: ignore[attr-defined]


class Token(Form):
    """An API token that shall be made."""

    name = forms.CharField(
        label="What is it for?",
        max_length=60,
        widget=forms.TextInput(attrs={"placeholder": "deploys from CI", "autocomplete": "off"}),
    )
    role = forms.ChoiceField(
        label="It may",
        choices=[
            (str(Role.MEMBER), "read, deploy, delete"),
            (str(Role.READER), "only read"),
            (str(Role.ADMIN), "do everything that you may"),
        ],
    )
    days = forms.ChoiceField(
        label="Good for",
        choices=[("30", "30 days"), ("90", "90 days"), ("365", "a year"), (FOR_EVER, "ever")],
    )

    def wishes(self, at: datetime) -> dict[str, Any]:
        """What the valid form asks for."""
        data = self.cleaned_data
        ends = None if data["days"] == FOR_EVER else at + timedelta(days=int(data["days"]))
        return {"name": data["name"], "role": Role(data["role"]), "expires_at": ends}
