"""An index in the order of a hash of the id: a stretch of it is a sample of people."""

from django.db import migrations, models
from django.db.models import Func, Value


class Migration(migrations.Migration):
    dependencies = [("profiles", "0005_scores_that_are_read")]

    operations = [
        migrations.AddIndex(
            model_name="profile",
            index=models.Index(
                Func("id", Value(0), function="hashint8extended"), include=["id"], name="profiles_at_random"
            ),
        ),
    ]
