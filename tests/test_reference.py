"""The configuration reference: it is up to date, whole, and its defaults are the ones that the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pipeline import reference
from pipeline.config import Config, load

ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (?:`(.*?)`|empty|needed)? ?\| (.*) \|$")


def _rows() -> dict[str, tuple[str, str | None, str]]:
    """Of each key in the reference, its value, its default and its description."""
    rows, section = {}, ""
    for line in reference.reference().splitlines():
        if line.startswith("### "):
            section = "" if line == "### Top level" else f"{line.strip('# `')}."
        elif line.startswith("| `"):
            match = ROW.match(line)
            assert match, line
            name, value, default, description = match.groups()
            rows[f"{section}{name}"] = (value, default, description)
    return rows


def test_the_page_is_what_the_command_writes() -> None:
    page = reference.PAGE.read_text(encoding="utf-8")
    assert page == reference.replaced(page, reference.PAGE), "run: make reference"


def test_every_key_has_a_description() -> None:
    schema = Config.model_json_schema(by_alias=True)
    lacking = [
        f"{name}.{key}"
        for name, model in {**schema["$defs"], "Config": schema}.items()
        for key, value in model["properties"].items()
        if not value.get("description", "").strip()
    ]
    assert lacking == []


@pytest.mark.parametrize("section", ["", "tuning.space.", "training.network.", "kubeflow.pods.volumes."])
def test_keys_of_sections_however_deep_are_there(section: str) -> None:
    known = {
        "": Config.model_fields,
        "tuning.space.": type(Config().tuning.space).model_fields,
        "training.network.": type(Config().training.network).model_fields,
        "kubeflow.pods.volumes.": ("claim", "path"),
    }[section]
    names = {key.removeprefix(section) for key in _rows() if re.fullmatch(rf"{re.escape(section)}\w+", key)}
    assert names == {"schema" if name == "schema_path" else name for name in known}


def test_a_default_that_is_set_changes_nothing(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("columns: {label: Class, time: Time}\nkubeflow: {}\n")
    overrides = [
        f"{key}={default}"
        for key, (_, default, _) in _rows().items()
        if default is not None
        and key not in ("columns", "kubeflow")
        and ".NAME" not in key
        # entries of lists, which --set does not reach
        and not re.match(r"kubeflow\.pods\.(tolerations|volumes|secrets)\.", key)
        # what is left out stands for these
        and not key.startswith(("columns.time", "tuning.space.", "data.sampling_rates."))
    ]
    assert len(overrides) > 90
    assert load(config, overrides) == load(config)


def test_limits_are_those_that_the_code_enforces() -> None:
    rows = _rows()
    assert rows["calibration.folds"][:2] == ("whole number at least 2 and at most 100", "5")
    assert rows["data.split.train"][0] == "number above 0 and below 1"
    assert (
        rows["training.network.units"][0]
        == "list of whole numbers above 0 and at most 65,536, with at least 1 and at most 64"
    )
    assert rows["training.mixed_precision"][0] == "`true`, `false`, `float16` or `bfloat16`"
    assert (
        rows["tuning.space.dropout"][0]
        == "list of numbers at least 0 and below 1, with at most 1,000; range `{low, high}`; or `null`"
    )
    assert rows["columns.label"][1] is None


def test_the_presets_of_the_space_are_the_ones_that_the_search_takes() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", reference.reference(), re.DOTALL)
    for name, space in yaml.safe_load(text).items():
        assert Config.model_validate({"tuning": {"space": space}}) == Config.model_validate({"tuning": {"space": name}})


def test_renamed_keys_work_as_the_reference_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    pairs = re.findall(r"- `(\S+)` is called `(\S+)` now\.", reference.reference())
    assert pairs
    for old, new in pairs:
        section, name = old.split(".")
        config.write_text(f"{section}: {{{name}: true}}\n")
        renamed = load(config)
        assert f"{old} is called {new} now" in capsys.readouterr().err
        config.write_text(f"{section}: {{{new.split('.')[1]}: true}}\n")
        assert load(config) == renamed


@pytest.mark.parametrize("text", ["nothing", f"{reference.START}\n{reference.START}\n"])
def test_a_page_without_one_marker_is_an_error(text: str) -> None:
    with pytest.raises(SystemExit, match=r"page\.md has this line \d times, expected once:\n<!-- "):
        reference.replaced(text, Path("page.md"))
