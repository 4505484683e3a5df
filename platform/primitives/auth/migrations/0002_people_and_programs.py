"""Only people are of the type user. Accounts that were made before permissions were asked for keep their data."""

from django.db import migrations, models

OF_PEOPLE = ("user", "token")
DATA = ["blobs.*", "config.*", "events.*", "registry.write", "secrets.read", "store.*"]


def keep(apps, schema_editor):
    """Services have their scope `service:` already: runtime's migration, of the public schema, came before."""
    accounts = apps.get_model("micro_auth", "Account").objects.filter(user_id=None)
    accounts.filter(type__in=OF_PEOPLE).update(type="account")
    for account in accounts:
        has_more = "admin" in account.scopes or any(scope.startswith("service:") for scope in account.scopes)
        if not has_more:
            account.scopes = [*account.scopes, *(word for word in DATA if word not in account.scopes)]
            account.save(update_fields=["scopes"])


class Migration(migrations.Migration):
    dependencies = [("micro_auth", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="account",
            name="made_by",
            field=models.CharField(
                blank=True,
                default="",
                help_text="The id of the service's account that made it, with which it goes.",
                max_length=255,
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="account", name="type", field=models.CharField(default="account", max_length=40)
        ),
        migrations.RunPython(keep, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(("type", "user"), ("user_id__isnull", False))
                | (models.Q(("user_id", None)) & models.Q(("type", "user"), _negated=True)),
                name="an_account_is_of_type_user_exactly_when_a_user_is_behind_it",
            ),
        ),
    ]
