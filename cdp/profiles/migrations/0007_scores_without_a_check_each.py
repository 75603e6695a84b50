import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("profiles", "0006_samples_of_people")]

    operations = [
        migrations.AlterField(
            model_name="score",
            name="run",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="scores",
                to="profiles.scorerun",
            ),
        ),
    ]
