"""The documentation: it builds, asks nothing of the network, and names only what there is."""

from __future__ import annotations

import ast
import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
import yaml

from benchmarks.picture import MOST_BYTES, PICTURE
from components.report.summary import Summary, figure_rows
from pipeline.cli import app
from pipeline.config import MOVED, RENAMED, Config, load
from pipeline.reference import known_keys
from trainer.columns import Columns

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md"), ROOT / "kubeflow" / "README.md"])
FOLDERS = sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "workspace")))
NAMED = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _code(text: str) -> Iterator[str]:
    """What stands in backticks outside of blocks."""
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", BLOCK.sub("", text))


def _commands(text: str) -> Iterator[list[str]]:
    """Words of each shell command in a block, its comments left out; a command goes on after a backslash."""
    for language, block in BLOCK.findall(text):
        if language in ("", "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                try:
                    yield shlex.split(line, comments=True)
                except ValueError:  # what a program printed, or a quote that spans lines
                    continue


# --- the site


class _Loads(HTMLParser):
    """Addresses of everything that a page loads by itself: scripts, styles, pictures, frames; not its links."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag != "a" and (address := values.get("src") or values.get("href")):
            self.addresses.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "true"},
        capture_output=True,
        text=True,
    )
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    return folder


def test_the_site_has_every_page(site: Path) -> None:
    elsewhere = {"README": "index", "kubeflow/README": "cluster"}
    names = [name.removesuffix(".md").removeprefix("docs/") for name in NAMED]
    assert {elsewhere.get(name, name.lower()) for name in names} <= {page.stem for page in site.glob("*.html")}


def test_links_to_files_that_are_pages_elsewhere_lead_to_them(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="contributing.html#where-new-code-goes"' in home
    assert "kubeflow/README.md" not in home
    assert 'href="cluster.html' in (site / "search.html").read_text(encoding="utf-8")


def test_no_page_loads_anything_from_the_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        loads = _Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert loads.addresses
        assert [address for address in loads.addresses if re.match(r"(?:[a-z]+:)?//", address)] == []
        # Material's program fetches Mermaid's where a page has a diagram of it
        assert 'class="mermaid"' not in page.read_text(encoding="utf-8")
    for style in site.rglob("*.css"):
        assert re.findall(r"url\([\"']?(?:https?:)?//[^)]*\)|@import[^;]*", style.read_text(encoding="utf-8")) == []


# --- what the pages name


@pytest.mark.parametrize("page", NAMED)
def test_every_path_that_is_named_is_there(page: str) -> None:
    folder = (ROOT / page).parent
    missing = []
    for code in _code(NAMED[page]):
        named = re.fullmatch(r"(?:\.\./)?([\w.-]+(?:/[\w.*-]+)*/?)", code)
        first = code.removeprefix("../").split("/")[0]
        a_file = re.fullmatch(r"[\w./-]+\.(py|md|toml|sh|yaml|yml|ipynb)", code) and "/" in code
        if named and (a_file or ("/" in code and first in FOLDERS)) and code != "site/":
            places = (ROOT / code, folder / code)
            if not any(place.exists() for place in places) and not list(ROOT.glob(code)):
                missing.append(code)
    assert missing == []


@pytest.mark.parametrize("page", NAMED)
def test_every_name_that_is_said_to_be_in_a_module_is_there(page: str) -> None:
    for name, path in re.findall(r"`(\w+)`\s+in\s+`([\w/]+\.py)`", BLOCK.sub("", NAMED[page])):
        assert name in _names(ROOT / path), f"{name} in {path}"


def _names(module: Path) -> set[str]:
    """What the module defines, inside of classes and functions too, and its strings, such as names of signatures."""
    nodes = list(ast.walk(ast.parse(module.read_text(encoding="utf-8"))))
    return {
        *(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)),
        *(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)),
        *(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)),
    }


def test_every_test_that_a_command_names_is_there() -> None:
    for text in (*NAMED.values(), (ROOT / "Makefile").read_text()):
        for path in re.findall(r"\btests/[\w/]+\.py", text):
            assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("page", NAMED)
def test_every_target_of_make_is_there(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [*_commands(NAMED[page]), *map(str.split, _code(NAMED[page]))]
    named = {words[1] for words in commands if len(words) > 1 and words[0] == "make" and words[1][0].isalpha()}
    assert named <= targets


@pytest.mark.parametrize("page", NAMED)
def test_every_command_and_option_is_there(page: str) -> None:
    root = typer.main.get_command(app)
    for words in [*_commands(NAMED[page]), *(re.split(r"\s+", code) for code in _code(NAMED[page]))]:
        if not words or not words[0].endswith("fraud-pipeline"):
            continue
        command, rest = root, words[1:]
        while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
            assert rest[0] in command.commands, words
            command, rest = command.commands[rest[0]], rest[1:]
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for option in (word.partition("=")[0] for word in rest if word.startswith("-")):
            assert option in {*options, "--help", "--version", "-h"}, words


@pytest.mark.parametrize("page", NAMED)
def test_every_configuration_key_is_there(page: str) -> None:
    old = {*(f"{section}.{name}" for section, name, _ in RENAMED), *(".".join(map(str, keys)) for keys in MOVED)}
    known = known_keys() | old
    sections = {key.partition(".")[0] for key in known if "." in key}
    keys = [re.match(r"(?:--set )?'?([a-z_]+(?:\.[A-Za-z_]+)+)(?:$|[=:])", code) for code in _code(NAMED[page])]
    named = {re.sub(r"(?<=\.components\.)[A-Z]\w*", "NAME", key[1]) for key in keys if key}
    # decision.note is the manifest's
    in_sections = {key for key in named if key.partition(".")[0] in sections and key != "decision.note"}
    prefixes = {".".join(key.split(".")[:length]) for key in known for length in range(1, key.count(".") + 1)}
    assert in_sections - known - prefixes == set()


@pytest.mark.parametrize("page", NAMED)
def test_every_override_is_valid(page: str) -> None:
    # it raises where the override is none that the configuration knows
    base = "columns={label: Class, time: Time, amount: Amount, numeric: [V1]}"
    for words in _commands(NAMED[page]):
        for option, override in itertools.pairwise(words) if words[:1] != ["helm"] else ():
            if option == "--set":
                assert load(None, [base, override]).columns


@pytest.mark.parametrize("page", [page for page, text in NAMED.items() if "```yaml" in text and "kubeflow" not in page])
def test_every_configuration_is_valid(page: str, tmp_path: Path) -> None:
    for language, block in BLOCK.findall(NAMED[page]):
        values = yaml.safe_load(block) if language == "yaml" else None
        if not values or not values.keys() <= {"extends", *Config.model_fields}:
            continue
        if "extends" in values:  # written to stand in the root of the repository
            values["extends"] = str(ROOT / values["extends"])
        path = tmp_path / "configuration.yaml"
        path.write_text(yaml.safe_dump(values))
        assert load(path).name


# --- messages


def all_text() -> set[str]:
    """All text that the code may print, divided where values are put in."""
    said = {(ROOT / "scripts" / "setup.sh").read_text()}
    for package in ("pipeline", "components", "trainer"):
        for file in (ROOT / package).rglob("*.py"):
            said.update(
                node.value
                for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            )
    return said


def test_messages_that_troubleshooting_explains_exist() -> None:
    from_elsewhere = ("Feature: V1", "Data types don't match")  # TensorFlow's
    said = all_text()
    messages = re.findall(r"^\| (.*?) \| ", NAMED["docs/troubleshooting.md"], re.MULTILINE)
    quoted = [code for cell in messages for code in _code(cell) if " " in code and not code.startswith(from_elsewhere)]
    assert len(quoted) > 15
    parts = [part.strip() for message in quoted for part in message.split("…") if part.strip()]
    assert [part for part in parts if not any(part in text for text in said)] == []


# --- the README and what is beside it


def test_the_readme_is_short_and_says_where_things_go() -> None:
    readme = NAMED["README.md"]
    assert len(readme.splitlines()) <= 200
    for needed in (
        *("`components/evaluation/figures.py`", "`components/reading/values.py`", "`trainer/decision/rule.py`"),
        *("`make check`", "make run", "make test", "make browser", "make kubectl", "FRAUD_PIPELINE_DATA", "glibc"),
        "Exit codes",
    ):
        assert needed in readme
    linked = set(re.findall(r"\]\(([\w./-]+\.md)", readme))
    assert {str(page.relative_to(ROOT)) for page in PAGES} - {"README.md"} <= linked


def test_the_readme_shows_the_report() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", NAMED["README.md"])
    assert pictures == [str(PICTURE.relative_to(ROOT))]
    assert PICTURE.read_bytes().startswith(b"\x89PNG")
    assert PICTURE.stat().st_size <= MOST_BYTES


def test_the_readme_shows_the_figures_that_a_run_prints() -> None:
    no_words = {"origin": "", "weighting": "", "current_version": "", "pushed_to": "", "pushed_version": ""}
    summary = Summary(
        **no_words,
        splits=[],
        metrics={"savings": 1.0},
        current_metrics={},
        blessed=True,
        reasons=[],
        threshold=0.5,
        findings=[],
        days=1.0,
    )
    (_, after) = NAMED["README.md"].split("on the test split             ┃")
    (shown, _) = after.split("└", 1)
    first_cells = [cells[1].strip() for line in shown.splitlines() if len(cells := line.split("│")) > 1]
    assert list(filter(None, first_cells)) == [row[0] for row in figure_rows(summary)]


def test_the_report_page_explains_every_part_in_its_order() -> None:
    parts = re.findall(r"^\| ([A-Z].*?) \| ", NAMED["docs/report.md"], re.MULTILINE)
    source = (ROOT / "components" / "report" / "component.py").read_text(encoding="utf-8")
    sections = source[source.index("def sections") : source.index("def _mistakes")]
    assert parts == ["Summary", *re.findall(r'"([A-Z][^"]*)": ', sections)]


def test_the_workflow_runs_what_ci_runs_on_both_stacks() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    images = [each["image"] for each in job["strategy"]["matrix"]["include"]]
    assert images == ["python:3.10-bookworm", "python:3.13-trixie"]
    assert workflow["permissions"] == {"contents": "read"}


def test_pre_commit_runs_what_make_check_runs_and_fetches_nothing() -> None:
    configuration = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (repository,) = configuration["repos"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    makefile = (ROOT / "Makefile").read_text()
    (recipe,) = re.findall(r"^check:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    checks = {
        re.sub(r"^@|\s\.$", "", line.strip()).replace("$(PYTHON)", ".venv/bin/python") for line in recipe.splitlines()
    }
    entries = {hook["entry"].removesuffix(" --force-exclude") for hook in repository["hooks"]}
    assert checks <= entries


def test_every_role_of_columns_is_explained() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", NAMED["docs/your-data.md"], re.MULTILINE)
    assert {*rows} == {*Columns.model_fields}
