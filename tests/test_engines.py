"""Which runner Beam's arguments name, and whether it is on this machine."""

from __future__ import annotations

import pytest
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from components.engines import is_local, runner
from pipeline.graph import _BEAM


@pytest.mark.parametrize(
    ("beam_args", "name", "local"),
    [
        ([], None, True),
        (["--direct_running_mode=multi_processing", "--direct_num_workers=4"], None, True),
        (list(_BEAM), "apache_beam.runners.portability.fn_api_runner.FnApiRunner", True),
        (["--runner=DirectRunner"], "DirectRunner", True),
        (["--runner", "FlinkRunner", "--parallelism=4"], "FlinkRunner", False),
        (["--environment_type=EXTERNAL", "--runner=PortableRunner"], "PortableRunner", False),
        (["--runner=DirectRunner", "--runner=DataflowRunner"], "DataflowRunner", False),
        (["--runner_of_another_kind=FlinkRunner"], None, True),
    ],
)
def test_the_runner_is_the_one_that_beam_would_take(beam_args: list[str], name: str | None, local: bool) -> None:
    assert runner(beam_args) == name
    if name:
        assert PipelineOptions(beam_args).view_as(StandardOptions).runner == name
    assert is_local(beam_args) is local
