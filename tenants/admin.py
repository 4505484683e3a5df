"""The operator's view of environments, namespaces and people. What a row may become, operations decide."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from micro.errors import Error
from transport.callers import Account

from . import names, operations
from .access.actors import account_of
from .models import ApiToken, Environment, Membership, Namespace, User

admin.site.site_header = admin.site.site_title = "micro operator"
admin.site.index_title = "Everything on this server"
admin.site.unregister(Group)  # operators are operators: there is nothing to give by groups


def link(row: Model | None, text: object = None) -> SafeString | str:
    """A link to the row's own page; a dash when there is no row."""
    if row is None:
        return "-"
    options = row._meta
    url = reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', url, row if text is None else text)


def listing(model: type[Model], text: object, **lookups: object) -> SafeString:
    """A link to the list of the rows for which the lookups hold."""
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return format_html('<a href="{}?{}">{}</a>', url, urlencode(lookups), text)


class AcrossNamespaces:
    """For a model that has a namespace: the operator sees the rows of all."""

    model: type[Model]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """All rows, in the order that the admin wants."""
        rows: QuerySet[Any] = self.model._default_manager.across_namespaces()  # type: ignore[attr-defined]
        ordering = self.get_ordering(request)  # type: ignore[attr-defined]
        return rows.order_by(*ordering) if ordering else rows


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that nobody edits: they are what happened, or what operations made of it."""

    show_full_result_count = False
    list_per_page = 50
    actions_selection_counter = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False


@admin.register(Environment)
class EnvironmentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Environments: made here, and kept for as long as they have namespaces."""

    list_display = ("name", "base_domain", "namespaces", "created_at")
    search_fields = ("name", "base_domain")
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Environment]:
        """With the number of namespaces."""
        rows: QuerySet[Environment] = super().get_queryset(request).annotate(namespace_count=Count("namespaces"))
        return rows

    def save_model(self, request: HttpRequest, obj: Environment, form: Any, change: bool) -> None:
        """Keep it, and let its plan act."""
        operations.set_environment(environment=obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Its name is its key."""
        return ("name",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not by hand: namespaces refer to it, and every start makes the usual ones anew."""
        return False

    @admin.display(ordering="namespace_count")
    def namespaces(self, row: Any) -> SafeString:
        """A link to its namespaces."""
        return listing(Namespace, row.namespace_count, environment__name__exact=row.pk)


def _account(request: HttpRequest, namespace: Namespace) -> Account:
    """With which account an operator acts in a namespace."""
    return account_of(cast("User", request.user), namespace.slug)


class NamespaceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A namespace that is to be made."""

    class Meta:
        model = Namespace
        fields = ("slug", "environment")

    def clean_slug(self) -> str:
        """The name, if a new namespace may have it."""
        try:
            names.validate_namespace(self.cleaned_data["slug"])
        except Error as error:
            raise forms.ValidationError(error.detail) from None
        return str(self.cleaned_data["slug"])


@admin.register(Namespace)
class NamespaceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Namespaces: made by the same operation as everywhere, with schema and all; never edited."""

    form = NamespaceForm
    fields = ("slug", "environment", "schema_name", "created_at", "belongings")
    list_display = ("slug", "environment_link", "members", "created_at")
    list_filter = ("environment", "created_at")
    list_select_related = ("environment",)
    search_fields = ("slug", "memberships__user__username", "memberships__user__email")
    ordering = ("slug",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Namespace]:
        """With the number of members."""
        rows: QuerySet[Namespace] = super().get_queryset(request).annotate(member_count=Count("memberships"))
        return rows

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What one says when making it, what there is to see afterwards."""
        return self.fields if obj else ("slug", "environment")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Everything, once it is made."""
        return self.fields if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: its name is in addresses, subjects and tokens."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not by hand: its schema, files and processes are more than a row."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Make it as everybody's are made."""
        made = operations.create_namespace(slug=obj.slug, environment=obj.environment)
        obj.__dict__.update(made.__dict__)

    @admin.display(description="environment", ordering="environment")
    def environment_link(self, row: Namespace) -> SafeString | str:
        """A link to its environment."""
        return link(row.environment)

    @admin.display(ordering="member_count")
    def members(self, row: Any) -> SafeString:
        """A link to its memberships."""
        return listing(Membership, row.member_count, namespace__id__exact=row.pk)

    @admin.display(description="what it has")
    def belongings(self, row: Namespace) -> SafeString:
        """Links to the lists of what is in it."""
        found = [model for model in admin.site._registry if any(f.name == "namespace" for f in model._meta.fields)]
        links = [listing(model, model._meta.verbose_name_plural, namespace__id__exact=row.pk) for model in found]
        return format_html_join(", ", "{}", ((found,) for found in links))


class MembershipForm(forms.ModelForm):  # type: ignore[type-arg]
    """Who is what in which namespace."""

    class Meta:
        model = Membership
        fields = ("user", "namespace", "role")

    def clean(self) -> dict[str, Any] | None:
        """Refuses a second membership of the same user."""
        data = super().clean() or {}
        rows = Membership.objects.across_namespaces().exclude(pk=self.instance.pk)
        if rows.filter(user=data.get("user"), namespace=data.get("namespace")).exists():
            raise forms.ValidationError("This user is a member of the namespace already.")
        return data

    def _get_validation_exclusions(self) -> set[str]:
        """`clean` has asked: Django's own question about the constraint names no namespace, and would be refused."""
        return {*super()._get_validation_exclusions(), "namespace"}  # type: ignore[misc]


@admin.register(Membership)
class MembershipAdmin(AcrossNamespaces, admin.ModelAdmin):  # type: ignore[type-arg]
    """Memberships: they come, change their role, and go with the tokens that hang on them."""

    form = MembershipForm
    list_display = ("id", "user_link", "namespace_link", "role", "created_at")
    list_filter = ("role", "namespace__environment")
    list_select_related = ("user", "namespace")
    search_fields = ("user__username", "user__email", "namespace__slug")
    autocomplete_fields = ("user", "namespace")
    show_full_result_count = False

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        """Let the user in, or give the member another role."""
        by = _account(request, obj.namespace)
        if change:
            operations.set_role(membership=obj, role=obj.role, by=by)
        else:
            made = operations.add_member(namespace=obj.namespace, user=obj.user, role=obj.role, by=by)
            obj.__dict__.update(made.__dict__)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        """Let the member go."""
        operations.remove_member(membership=obj, by=_account(request, obj.namespace))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        """Let each of them go."""
        for row in queryset:
            self.delete_model(request, row)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Who and where stay: another one is another membership."""
        return ("user", "namespace") if obj else ()

    @admin.display(description="user", ordering="user__username")
    def user_link(self, row: Membership) -> SafeString | str:
        """A link to the user."""
        return link(row.user)

    @admin.display(description="namespace", ordering="namespace__slug")
    def namespace_link(self, row: Membership) -> SafeString | str:
        """A link to the namespace."""
        return link(row.namespace)


class PersonForm(AdminUserCreationForm):  # type: ignore[type-arg]
    """A user who is to be made."""

    def clean_username(self) -> str:
        """The name, if a user may have it."""
        username = str(super().clean_username())
        try:
            names.require_username(username)
        except Error as error:
            raise forms.ValidationError(error.detail) from None
        return username


@admin.register(User)
class PersonAdmin(UserAdmin):  # type: ignore[type-arg]
    """Users. A password is set here and never seen."""

    add_form = PersonForm
    list_display = ("username", "email", "is_active", "is_superuser", "memberships", "last_login", "created_at")
    list_filter = ("is_active", "is_superuser", "created_at")
    search_fields = ("username", "email", "memberships__namespace__slug")
    ordering = ("username",)
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "email", "password")}),
        ("May", {"fields": ("is_active", "is_staff", "is_superuser")}),
        ("When", {"fields": ("last_login", "created_at")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("username", "email", "password1", "password2")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """The name stays: it is the id of their accounts, and in what they have made."""
        return ("username", "last_login", "created_at") if obj else ("last_login", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """With the number of memberships."""
        rows: QuerySet[User] = super().get_queryset(request).annotate(membership_count=Count("memberships"))
        return rows

    @admin.display(ordering="membership_count")
    def memberships(self, row: Any) -> SafeString:
        """A link to the namespaces that they are in."""
        return listing(Membership, row.membership_count, user__id__exact=row.pk)


@admin.register(ApiToken)
class ApiTokenAdmin(AcrossNamespaces, ReadOnly):
    """API tokens: to be seen, and deleted, which revokes them."""

    fields = ("id", "membership_link", "name", "hint", "role", "created_at", "expires_at", "last_used_at")
    list_display = ("id", "name", "membership_link", "hint", "role", "expires_at", "last_used_at")
    list_filter = ("role", "namespace__environment")
    list_select_related = ("membership__user", "membership__namespace")
    search_fields = ("name", "hint", "membership__user__username", "namespace__slug")
    ordering = ("-created_at",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """An operator's."""
        return bool(request.user.is_active and getattr(request.user, "is_superuser", False))

    @admin.display(description="whose")
    def membership_link(self, row: ApiToken) -> SafeString | str:
        """A link to the membership on which it hangs."""
        return link(row.membership)
