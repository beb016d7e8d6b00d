"""How `nbconvert --config` makes a page of a notebook: of a run that is there, and with no program from the network."""

import os
import sys
from pathlib import Path

from pipeline.review import finished_run
from trainer.errors import InputError

# The notebook runs in its own folder, from where a relative path would lead elsewhere.
workspace = Path(os.environ.get("FRAUD_PIPELINE_WORKSPACE", "workspace")).absolute()
os.environ["FRAUD_PIPELINE_WORKSPACE"] = str(workspace)
try:
    finished_run(workspace / "metadata.db", os.environ.get("FRAUD_PIPELINE_RUN"))
except InputError as error:
    sys.exit(f"fraud-pipeline: {error}")  # in place of a notebook's traceback

c = get_config()  # noqa: F821 - traitlets gives it

c.NbConvertApp.log_level = 30  # warnings
c.HTMLExporter.mathjax_url = ""
c.HTMLExporter.require_js_url = ""
c.ExecutePreprocessor.timeout = 600  # seconds for a cell
