"""How many requests a namespace's services may have open at a time."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_codes_that_stay")]
    operations = [
        migrations.AddField(
            "plan",
            "requests",
            models.PositiveBigIntegerField(
                blank=True, help_text="to all services together, open at a time", null=True
            ),
        )
    ]
