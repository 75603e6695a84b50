"""Whether this machine has Apache Spark, which only `make drill` uses, and how to get it.

The people in it are in `tests.generative.spark_engine`.
"""

import importlib.util
import shutil

HOW = "`make install-spark` adds pyspark (400 MB) to .venv; Java 17 or newer must be on the PATH"


def what_spark_lacks() -> str | None:
    """What is missing on this machine for running Spark; None when nothing is."""
    lacking = []
    if importlib.util.find_spec("pyspark") is None:
        lacking.append("the package pyspark")
    if shutil.which("java") is None:
        lacking.append("Java")
    return f"{' and '.join(lacking)} not found; {HOW}" if lacking else None
