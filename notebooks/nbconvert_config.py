"""How `nbconvert --config` makes a page of a notebook: of a run that is there, and with no program from the network."""

import os
import sys
from pathlib import Path

from nbconvert.preprocessors import Preprocessor

from pipeline.notebook import LOG
from pipeline.review import finished_run
from trainer.errors import InputError

# The notebook runs in its own folder, from where a relative path would lead elsewhere.
workspace = Path(os.environ.get("FRAUD_PIPELINE_WORKSPACE", "workspace")).absolute()
os.environ["FRAUD_PIPELINE_WORKSPACE"] = str(workspace)
try:
    finished_run(workspace / "metadata.db", os.environ.get("FRAUD_PIPELINE_RUN"))
except InputError as error:
    sys.exit(f"fraud-pipeline: {error}")  # in place of a notebook's traceback


class LibrariesToLog(Preprocessor):
    """Takes what libraries wrote to stderr from the page to the notebook's log."""

    def preprocess_cell(self, cell, resources, index):  # type: ignore[no-untyped-def]
        noise = [output for output in cell.get("outputs", []) if output.get("name") == "stderr"]
        if noise:
            with open(workspace / "logs" / LOG, "a") as log:
                log.writelines(output["text"] for output in noise)
            cell["outputs"] = [output for output in cell["outputs"] if output not in noise]
        return cell, resources


c = get_config()  # noqa: F821 - traitlets gives it

c.NbConvertApp.log_level = 30  # warnings
c.TemplateExporter.extra_template_basedirs = [str(Path(__file__).resolve().parent / "templates")]
c.HTMLExporter.template_name = "review"
c.HTMLExporter.preprocessors = [LibrariesToLog]
# the page is for who wants to know about the run; the code is in the notebook
c.HTMLExporter.exclude_input = True
c.HTMLExporter.exclude_output_prompt = True
c.HTMLExporter.mathjax_url = ""
c.HTMLExporter.require_js_url = ""
c.ExecutePreprocessor.timeout = 600  # seconds for a cell
c.ExecutePreprocessor.extra_arguments = ["--log-level=40"]  # errors; a warning would be that it listens on loopback
