from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0001_initial'),
    ]

    operations = [
        migrations.RunSQL('ALTER TABLE registry_lease SET UNLOGGED', 'ALTER TABLE registry_lease SET LOGGED'),
    ]
