"""What runs already keeps the data that it could use before permissions were asked for, as grants that can be seen."""

import json

from django.db import migrations, models

DATA = ["blobs.*", "config.*", "events.*", "registry.write", "secrets.read", "store.*"]


def keep(apps, schema_editor):
    """Give the services that live these grants, and the accounts of their releases with them their service's scope."""
    deployment = apps.get_model("runtime", "Deployment")
    deployment.objects.filter(service__deleted_at=None).update(grants=DATA)
    releases = apps.get_model("runtime", "Release").objects.filter(service__deleted_at=None)
    with schema_editor.connection.cursor() as cursor:
        for release in releases.select_related("service__namespace"):
            service = release.service
            cursor.execute(
                f"UPDATE {schema_editor.quote_name(service.namespace.schema_name)}.micro_auth_account "
                "SET scopes = %s::jsonb WHERE account_id = %s AND type = 'service' AND user_id IS NULL",
                [
                    json.dumps(["service", f"service:{service.name}", *DATA]),
                    f"{service.name}-{service.version}-{release.number}",
                ],
            )


class Migration(migrations.Migration):
    dependencies = [("runtime", "0007_turns")]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="grants",
            field=models.JSONField(
                blank=True, default=list, help_text="What its account may do beyond a service's own"
            ),
        ),
        migrations.RunPython(keep, migrations.RunPython.noop),
    ]
