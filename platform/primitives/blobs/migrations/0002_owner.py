from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("blobs", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="blob",
            name="owner",
            field=models.CharField(
                blank=True, default="", help_text="The service that wrote it; blank: anybody else.", max_length=63
            ),
            preserve_default=False,
        )
    ]
