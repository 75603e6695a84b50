"""Time stamps are kept: they are an authority's word, which nobody here can make."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_the_tree")]

    operations = [
        migrations.AddField(
            model_name="anchor",
            name="stamp",
            field=models.BinaryField(help_text="Of a time stamp: the authority's answer (RFC 3161, DER).", null=True),
        ),
        migrations.AlterField(
            model_name="anchor",
            name="kind",
            field=models.CharField(
                choices=[("file", "File"), ("email", "Email"), ("stamp", "Time stamp")], max_length=8
            ),
        ),
    ]
