"""What the commands import: nothing that they do not need, and the rest with the garbage collector off."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What one careless import line brings back: `import tfx.v1`, `import plotly` in a component, or a run without `lean`.
UNWANTED = {
    *("matplotlib", "plotly", "torch", "jax", "tfx.v1", "apache_beam.io.gcp.bigquery", "kubernetes_validate"),
    "xgboost",
    *("google.cloud.aiplatform", "google.cloud.bigquery", "google.cloud.pubsub_v1", "google.cloud.spanner"),
}


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_run_and_a_check_import_nothing_that_they_do_not_use(transactions, tmp_path, command):
    arguments = [command, "--set", f"workspace={tmp_path}", "--set", f"data.path={transactions}"]
    code = f"""
import sys
from pipeline.cli import main
sys.argv[1:] = {arguments}
try:
    main()
except SystemExit:
    print(*sys.modules)
"""
    with open(tmp_path / ".lock", "w") as lock:
        # a run finds the workspace taken: it ends after the imports, before the first component
        fcntl.flock(lock, fcntl.LOCK_EX)
        imported = set(python(code).splitlines()[-1].split())
    assert {"pipeline.graph", "tensorflow", "apache_beam", "tfx.components"} <= imported
    assert imported & UNWANTED == set()
    # TFMA swallows an ImportError of its own modules, says so, and then lacks all that comes after
    (log,) = (tmp_path / "logs").iterdir()
    assert "Error importing" not in log.read_text(errors="replace")


def test_a_process_of_a_search_imports_nothing_that_it_does_not_use(tmp_path):
    worker = [sys.executable, "-X", "importtime", "-m", "trainer.search.worker", tmp_path, "--wait", "0"]
    done = subprocess.run(worker, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    imported = {line.split("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert {"trainer.search.tuner", "tensorflow", "keras", "keras_tuner"} <= imported
    # by what is in them: a module that is left out is looked for all the same
    packages = {name.partition(".")[0] for name in imported if "." in name}
    unwanted = {
        "apache_beam",
        "tfx",
        "tensorflow_transform",
        "pyarrow",
        "IPython",
        "googleapiclient",
        "pandas",
        "sklearn",
    }
    assert packages & unwanted == set()


def test_the_list_of_runs_needs_the_metadata_alone():
    heavy = ("tensorflow", "tfx", "apache_beam", "keras", "pandas", "pyarrow", "plotly")
    code = f"import sys, pipeline.runs; print([name for name in {heavy} if name in sys.modules])"
    assert python(code) == "[]"


def test_what_is_left_out_can_be_imported_afterwards():
    code = """
from pipeline.imports import lean
with lean():
    import apache_beam
    assert not hasattr(apache_beam.io, "ReadFromBigQuery")
from apache_beam.io.filesystems import FileSystems
from apache_beam.io.gcp.bigquery import ReadFromBigQuery
print(ReadFromBigQuery.__name__, FileSystems.get_filesystem("gs://bucket/file").scheme())
"""
    assert python(code) == "ReadFromBigQuery gs"


def test_the_garbage_collector_is_off_within_and_as_before_afterwards():
    code = """
import gc
from pipeline.imports import lean
states = [gc.isenabled()]
try:
    with lean():
        states.append(gc.isenabled())
        raise KeyError
except KeyError:
    states.append(gc.isenabled())
gc.disable()
with lean():
    pass
print(*states, gc.isenabled(), gc.get_freeze_count() > 0)
"""
    assert python(code) == "True False True False True"


def test_a_module_that_is_already_there_stays():
    code = """
import sys, types
from trainer.imports import lean
there = sys.modules["left_out"] = types.ModuleType("left_out")
with lean("left_out"):
    import left_out
assert left_out is there is sys.modules["left_out"]
"""
    assert python(code) == ""


def test_the_reading_of_files_needs_neither_tfx_nor_tensorflow_nor_beam():
    modules = [f"components.reading.{path.stem}" for path in (ROOT / "components/reading").glob("[!_]*.py")]
    assert len(modules) > 3
    code = f"""
import sys, {", ".join(modules)}
print([name for name in ("tfx", "tensorflow", "apache_beam", "keras") if name in sys.modules])
"""
    assert python(code) == "[]"
