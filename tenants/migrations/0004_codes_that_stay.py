import django.utils.timezone
from django.db import migrations, models


def forget(apps, schema_editor):
    """Codes under way cannot be told from their digests: who waits for one asks again."""
    apps.get_model("tenants", "EmailCode").objects.all().delete()


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0003_fair_shares'),
    ]

    operations = [
        migrations.RunPython(forget, migrations.RunPython.noop, elidable=True),
        migrations.RemoveField(model_name='emailcode', name='digest'),
        migrations.AddField(
            model_name='emailcode',
            name='seed',
            field=models.CharField(default='', max_length=32),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='emailcode',
            name='drawn_at',
            field=models.DateTimeField(default=django.utils.timezone.now),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name='emailcode',
            name='attempts',
            field=models.PositiveIntegerField(default=0, help_text='Wrong ones, from anywhere.'),
        ),
    ]
