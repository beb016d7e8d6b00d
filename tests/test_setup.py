"""The set-up: which Python it picks, what it says when nothing fits, that it runs once; the locks and the package."""

import configparser
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKS = ("tfx-1.16.txt", "tfx-1.21.txt")
STACKS = {"3.10": LOCKS[0], "3.11": LOCKS[1], "3.12": LOCKS[1], "3.13": LOCKS[1]}
TOOLS = [
    "cat", "chmod", "cksum", "cut", "date", "dirname", "flock", "grep", "mkdir",
    "mv", "rm", "sed", "sh", "sleep", "sort", "tail", "tr",
]  # fmt: skip

# Behaves as far as the set-up can see: answers the probe, makes an environment, and notes what it was asked to do.
PYTHON = """#!/bin/sh
case "$*" in
  -E*) echo "{minor} {full} {lacks} $0" ;;
  "-m venv "*) mkdir -p "$3/bin"; cat "$0" >"$3/bin/python"; chmod +x "$3/bin/python"; echo "$*" >>"$CALLS" ;;
  *) echo "$*" >>"$CALLS"; {then} ;;
esac
"""


@dataclass
class Machine:
    """A machine of its own: PATH, HOME and the pyenv folder hold only what a test puts there."""

    folder: Path

    def script(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)  # it may be a link to one of the system's tools
        file.write_text(text)
        file.chmod(0o755)
        return file

    def python(self, path: str, full: str, lacks: str = "-", then: str = "true") -> Path:
        return self.script(path, PYTHON.format(minor=full.rpartition(".")[0], full=full, lacks=lacks, then=then))

    def system(self, libc: str = "glibc 2.41", platform: str = "Linux x86_64") -> None:
        self.script("bin/getconf", f"#!/bin/sh\necho {libc}\n")
        kernel, processor = platform.split()
        self.script("bin/uname", f'#!/bin/sh\n[ "$1" = -s ] && echo {kernel} || echo {processor}\n')

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": str(self.folder / "bin"),
            "HOME": str(self.folder / "home"),
            "PYENV_ROOT": str(self.folder / "pyenv"),
            "CALLS": str(self.folder / "calls"),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = ["sh", str(self.folder / "project/scripts/setup.sh"), *arguments]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def setup(self, *arguments: str) -> tuple[int, str]:
        """Exit status, and what was printed."""
        with self.start(*arguments) as process:
            output, warned = process.communicate(timeout=60)
        return process.returncode, (output + warned).strip()

    def calls(self) -> list[str]:
        """What the Pythons were asked to do since the last time."""
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.system()
    for tool in TOOLS:
        where = shutil.which(tool)
        assert where, f"the set-up needs {tool}"
        (tmp_path / "bin" / tool).symlink_to(where)
    machine.script("bin/c++", "#!/bin/sh\n")
    for name in (
        "scripts/setup.sh",
        "requirements/build.txt",
        "requirements/tfx-1.16.txt",
        "requirements/tfx-1.21.txt",
    ):
        target = tmp_path / "project" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "project")
    return machine


@pytest.mark.parametrize(
    ("libc", "pythons", "picked"),
    [
        ("glibc 2.41", ["bin/python3.11", "bin/python3.13", "bin/python3.12"], ("bin/python3.13", "TFX 1.21")),
        ("glibc 2.39", ["bin/python3.10", "bin/python3.11"], ("bin/python3.11", "TFX 1.21")),
        ("glibc 2.41", ["bin/python3.9", "bin/python3.10", "bin/python3.14"], ("bin/python3.10", "TFX 1.16")),
        ("glibc 2.36", ["bin/python3.13", "bin/python3.10"], ("bin/python3.10", "TFX 1.16")),
        (
            "glibc 2.41",
            ["bin/python3.11", "pyenv/versions/3.12.1/bin/python"],
            ("pyenv/versions/3.12.1/bin/python", "TFX 1.21"),
        ),
        (
            "glibc 2.36",
            ["home/.pyenv/versions/3.10.13/bin/python", "bin/python3.9"],
            ("home/.pyenv/versions/3.10.13/bin/python", "TFX 1.16"),
        ),
        (
            "glibc 2.36",
            ["home/.local/share/uv/python/cpython-3.10.18-linux-x86_64-gnu/bin/python"],
            ("home/.local/share/uv/python/cpython-3.10.18-linux-x86_64-gnu/bin/python", "TFX 1.16"),
        ),
    ],
)
def test_picks_the_newest_python_that_the_system_supports(machine, libc, pythons, picked):
    machine.system(libc)
    for path in pythons:
        machine.python(path, re.search(r"3\.\d+", path)[0] + ".1")
    python, tfx = picked
    status, output = machine.setup("--check")
    assert status == 0
    assert f"({machine.folder / python}), {tfx}" in output


def test_a_shim_that_fails_does_not_hide_the_interpreter_behind_it(machine):
    machine.system("glibc 2.36")
    machine.script("bin/python3.10", "#!/bin/sh\necho 'pyenv: python3.10: command not found' >&2\nexit 127\n")
    python = machine.python("pyenv/versions/3.10.13/bin/python", "3.10.13")
    assert machine.setup("--check") == (0, f"Python 3.10.13 ({python}), TFX 1.16")


@pytest.mark.parametrize(
    ("libc", "pythons", "sentence"),
    [
        (
            "glibc 2.36",
            {"python3.13": "3.13.0", "python3.9": "3.9.18"},
            "No Python fits: glibc 2.36 needs Python 3.10, found 3.13.0, 3.9.18; install Python 3.10",
        ),
        (
            "glibc 2.41",
            {"python3.9": "3.9.18"},
            "No Python fits: glibc 2.41 needs Python 3.13, 3.12, 3.11 or 3.10, found 3.9.18; install Python 3.13",
        ),
        ("glibc 2.36", {}, "No Python fits: glibc 2.36 needs Python 3.10, found none; install Python 3.10"),
    ],
)
def test_says_in_one_sentence_which_python_is_missing(machine, libc, pythons, sentence):
    machine.system(libc)
    for name, full in pythons.items():
        machine.python(f"bin/{name}", full)
    status, output = machine.setup()
    assert status == 1
    assert output == f"{sentence} (with the system's packages, pyenv or uv) and run this again."
    assert not (machine.folder / "project/.venv").exists()


def test_without_a_compiler_it_says_so_before_it_installs_anything(machine):
    python = machine.python("bin/python3.13", "3.13.5")
    (machine.folder / "bin/c++").unlink()
    status, output = machine.setup()
    assert status == 1
    assert output == (
        f"Python 3.13.5 ({python}) fits, but this is missing: a C++ compiler; on Debian and Ubuntu: apt install g++"
    )
    assert machine.calls() == []


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_any_usual_compiler_will_do(machine, compiler):
    machine.python("bin/python3.13", "3.13.5")
    (machine.folder / "bin/c++").rename(machine.folder / "bin" / compiler)
    assert machine.setup("--check")[0] == 0


def test_a_line_says_what_the_newest_python_lacks_only_if_no_complete_one_is_there(machine):
    newest = machine.python("bin/python3.13", "3.13.5", lacks="venv,Python.h")
    assert machine.setup("--check") == (
        1,
        f"Python 3.13.5 ({newest}) fits, but this is missing: the venv module, Python.h; "
        "on Debian and Ubuntu: apt install python3.13-venv python3.13-dev",
    )
    complete = machine.python("bin/python3.12", "3.12.1")
    assert machine.setup("--check") == (0, f"Python 3.12.1 ({complete}), TFX 1.21")


@pytest.mark.parametrize(
    ("libc", "platform", "sentence"),
    [
        ("glibc 2.41", "Linux aarch64", "TFX has packages for Linux on x86_64, and this is Linux aarch64"),
        ("musl", "Linux x86_64", "TFX has packages for systems with glibc only, and this one has none"),
    ],
)
def test_a_system_without_tfx_packages_is_named(machine, libc, platform, sentence):
    machine.system(libc, platform)
    machine.python("bin/python3.13", "3.13.5")
    status, output = machine.setup()
    assert status == 1
    assert output.startswith(sentence)


def test_uv_brings_a_python_where_none_fits(machine):
    machine.system("glibc 2.36")
    made = machine.python("fetched", "3.10.18")
    folder = machine.folder / "home/.local/share/uv/python/cpython-3.10.18-linux/bin"
    machine.script(
        "bin/uv",
        f"""#!/bin/sh
echo "uv $*" >>"$CALLS"
if [ "$*" = "python install 3.10" ]; then mkdir -p {folder}; cat {made} >{folder}/python; chmod +x {folder}/python; fi
""",
    )
    status, output = machine.setup()
    assert status == 0
    assert "Setting up .venv with Python 3.10.18 and TFX 1.16" in output
    calls = machine.calls()
    assert calls[0] == "uv python install 3.10"
    # And it installs, because it is faster than pip.
    assert sum("pip install --python .venv/bin/python" in call and "--require-hashes" in call for call in calls) == 2


def test_the_running_python_passes_the_real_probe(machine):
    """A shim that runs the real interpreter, with and without ensurepip (Debian without python3-venv)."""
    version = ".".join(map(str, sys.version_info[:3]))
    real = sys._base_executable
    shim = "exec {real} -E -c \"import sys; sys.modules['{hidden}'] = None\n$3\"\n"
    machine.script("bin/python3", "#!/bin/sh\n" + shim.format(real=real, hidden="nothing"))
    status, output = machine.setup("--check")
    assert status == 0
    assert output.startswith(f"Python {version} ({real}), TFX ")

    machine.script("bin/python3", "#!/bin/sh\n" + shim.format(real=real, hidden="ensurepip"))
    status, output = machine.setup("--check")
    assert status == 1
    assert "this is missing: the venv module;" in output


def installs(calls: list[str]) -> list[str]:
    return [call.rsplit(" ", 1)[1] for call in calls if "pip install" in call]


def test_sets_up_once_and_again_when_the_locks_change(machine):
    machine.python("bin/python3.13", "3.13.5")
    project = machine.folder / "project"
    assert machine.setup()[0] == 0
    calls = machine.calls()
    assert calls[0] == "-m venv .venv"
    assert installs(calls) == ["requirements/build.txt", "requirements/tfx-1.21.txt", "."]
    assert all("--require-hashes" in call for call in calls if " -r requirements/" in call)
    assert all("--no-deps --no-build-isolation" in call for call in calls if "pip install" in call)
    compiled = [call for call in calls if "compileall" in call]
    assert [call.split(" timestamp ")[1] for call in compiled] == [".venv/lib", "pipeline components trainer"]

    assert machine.setup() == (0, "")
    assert machine.calls() == []

    metadata = project / "pyproject.toml"
    metadata.write_text(metadata.read_text() + "# an edit\n")
    assert machine.setup()[0] == 0
    assert installs(machine.calls()) == ["."]

    lock = project / "requirements/tfx-1.21.txt"
    lock.write_text(lock.read_text() + "    # via a comment\n")
    assert machine.setup() == (0, "")
    lock.write_text(lock.read_text() + f"another==1.0 --hash=sha256:{'0' * 64}\n")
    assert machine.setup()[0] == 0
    assert installs(machine.calls()) == ["requirements/build.txt", "requirements/tfx-1.21.txt", "."]


def test_an_environment_that_was_moved_is_made_anew(machine):
    machine.python("bin/python3.13", "3.13.5")
    machine.setup()
    machine.calls()
    (machine.folder / "project").rename(machine.folder / "elsewhere")
    command = ["sh", str(machine.folder / "elsewhere/scripts/setup.sh")]
    subprocess.run(command, env=machine.environment, check=True, capture_output=True)
    assert machine.calls()[0] == "-m venv .venv"


def test_a_failed_set_up_says_what_to_do_and_counts_for_nothing(machine):
    fail = 'case "$*" in *tfx-1.21*) echo "No space left on device"; exit 1 ;; esac'
    machine.python("bin/python3.13", "3.13.5", then=fail)
    for _ in range(2):  # the second call begins anew, it takes no half environment for a whole one
        status, output = machine.setup()
        assert status == 1
        assert "No space left on device\nThe set-up stopped at: installing " in output
        assert "run the same command again" in output
        assert machine.calls()[0] == "-m venv .venv"
    machine.python("bin/python3.13", "3.13.5")
    assert machine.setup()[0] == 0


# An installation in stages; during each the set-up looks a few times how far it is, which it does after each `sleep 1`.
INSTALLATION = """
case "$*" in *tfx-1.21*)
  looks() {{ wc -l <"$CALLS.looks"; }}
  stage() {{ until=$(($(looks) + $1)); while [ "$(looks)" -lt "$until" ]; do /bin/sleep 0.01; done; }}
  repeat() {{ number=0; while [ $number -lt "$1" ]; do number=$((number + 1)); eval "$2"; done; }}
  stage 2
  {steps}
esac
"""
PIP = """
repeat 120 'echo "Collecting package$number==1.0"'; stage 2
echo "Installing collected packages: package1, package2"; stage 32
repeat 60 'mkdir -p .venv/lib/python3.13/site-packages/package$number-1.0.dist-info'; stage 2
repeat 20 'mkdir -p .venv/lib/python3.13/site-packages/package$number-2.0.dist-info'; stage 2
"""
UV = """
repeat 3 'echo "Downloading large$number (300.0MiB)"'; stage 2
echo " Downloaded large1"; stage 32
repeat 60 'mkdir -p .venv/lib/python3.13/site-packages/package$number-1.0.dist-info'; stage 2
"""


@pytest.fixture
def watched(machine):
    """Makes a machine where time passes at once; `watched(steps)` is its one Python, whose pip goes through them."""
    machine.script("bin/sleep", f'#!/bin/sh\necho >>"$CALLS.looks"\nexec {shutil.which("sleep")} 0.01\n')
    (machine.folder / "calls.looks").touch()
    (machine.folder / "bin" / "wc").symlink_to(shutil.which("wc"))

    def make(steps: str) -> int:
        machine.python("bin/python3.13", "3.13.5", then=INSTALLATION.format(steps=steps))
        return len(read_lock(LOCKS[1]))

    return make


def test_redirected_output_says_how_many_packages_are_installed(machine, watched):
    packages = watched(PIP)
    status, said = machine.setup()
    assert status == 0, said
    fetched = [
        int(number) for number in re.findall(rf"\n    (\d+) of {packages} packages fetched, none installed yet", said)
    ]
    installed = [int(number) for number in re.findall(rf"\n    (\d+) of {packages} packages installed", said)]
    assert fetched[-2:] == [120, 120]  # half a minute went by
    assert installed[-1] >= 50
    # a line every fifty packages or thirty seconds, however long this machine takes over them
    seconds = len((machine.folder / "calls.looks").read_text().splitlines())
    assert len(fetched) + len(installed) <= 120 // 50 + 80 // 50 + seconds // 30 + 1


def test_of_uv_it_is_said_how_many_large_packages_are_fetched(machine, watched):
    packages = watched("exit 1")
    machine.script("bin/uv", "#!/bin/sh\n" + INSTALLATION.format(steps=UV))
    status, said = machine.setup()
    assert status == 0
    assert f"    {packages} packages to fetch; large ones: 1 fetched, 2 on the way\n" in said
    assert re.search(rf"\n    [56]\d of {packages} packages installed\n", said)


def test_on_a_terminal_one_line_changes(machine, watched):
    packages = watched(PIP)
    master, slave = os.openpty()
    command = ["sh", str(machine.folder / "project/scripts/setup.sh")]
    with subprocess.Popen(command, env=machine.environment, stdout=slave, stderr=slave) as process:
        os.close(slave)
        shown = b""
        try:
            while part := os.read(master, 4096):
                shown += part
        except OSError:
            pass  # how Linux says that the other end is closed
    os.close(master)
    assert process.returncode == 0
    begin, erase = b"\r    ", b"\x1b[K"
    first, *_, last = [part for part in shown.split(begin)[1:] if b" packages " in part]
    assert first.startswith(b"%d packages to fetch%s" % (packages, erase))
    assert last.startswith(b"80 of %d packages installed%s\r%s" % (packages, erase, erase))


def test_of_two_at_once_one_sets_up_and_the_other_waits(machine):
    machine.python("bin/python3.13", "3.13.5", then="sleep 0.3")
    first, second = machine.start(), machine.start()
    output = [process.communicate(timeout=60)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(installs(machine.calls())) == 3
    assert sum("Another set-up is at work" in text for text in output) == 1


def test_a_folder_that_it_did_not_make_is_left_alone(machine):
    machine.python("bin/python3.13", "3.13.5")
    precious = machine.script("project/.venv/precious", "")
    status, output = machine.setup()
    assert status == 1
    assert output == (".venv is there already and was not made by this set-up: move or delete it, and run this again.")
    assert precious.exists()


@dataclass(frozen=True)
class Pin:
    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def version(self) -> Version:
        (pin,) = self.requirement.specifier
        assert pin.operator == "=="
        return Version(pin.version)


def read_lock(name: str) -> list[Pin]:
    text = re.sub(r"\\\n", " ", (ROOT / "requirements" / name).read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [Pin(Requirement(line.split(" --hash")[0]), tuple(re.findall(r"--hash=(\S+)", line))) for line in lines]


@pytest.mark.parametrize("name", ["build.txt", *LOCKS])
def test_every_locked_requirement_has_hashes(name):
    pins = read_lock(name)
    assert pins
    for pin in pins:
        assert pin.version
        assert pin.hashes, pin.requirement
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in pin.hashes)


@pytest.mark.parametrize("python", STACKS)
def test_locked_versions_are_within_the_metadata_s_ranges(python):
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    locked = {
        re.sub("[-_.]+", "-", pin.requirement.name).lower(): pin.version
        for pin in read_lock(STACKS[python])
        if pin.requirement.marker is None or pin.requirement.marker.evaluate(environment)
    }
    wanted = [Requirement(text) for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]]
    wanted = [want for want in wanted if want.marker is None or want.marker.evaluate(environment)]
    assert {"tfx", "pytest"} <= {want.name for want in wanted}
    for want in wanted:
        assert locked[re.sub("[-_.]+", "-", want.name).lower()] in want.specifier, want


def test_no_file_of_the_set_up_names_a_registry():
    files = [ROOT / name for name in ("pyproject.toml", "setup.py", "Makefile", ".ci/run")]
    files += [*(ROOT / "requirements").iterdir(), *(ROOT / "scripts").iterdir()]
    for file in filter(Path.is_file, files):  # Python keeps byte code beside the scripts
        text = file.read_text(encoding="utf-8").replace("--no-emit-index-url", "")
        assert not re.search(r"://|index-url|find-links", text), file


def test_the_wheel_holds_the_packages_their_data_and_the_configs(tmp_path):
    packages = ("pipeline", "components", "trainer")
    source = tmp_path / "source"
    source.mkdir()
    for folder in (*packages, "configs", "kubeflow", "tests", "benchmarks"):
        if (ROOT / folder).is_dir():
            shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ROOT.iterdir():
        if file.is_file():
            shutil.copy(file, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "-w", str(tmp_path), str(source)], check=True, capture_output=True)

    (wheel,) = tmp_path.glob("fraud_pipeline-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        scripts = configparser.ConfigParser()
        scripts.read_string(archive.read(entry_points).decode())
    stem = f"fraud_pipeline-{PROJECT['version']}"
    files = {file for package in packages for file in (ROOT / package).rglob("*") if file.is_file()}
    code = {file for file in files if file.parent.name != "__pycache__"}
    assert {ROOT / package / "py.typed" for package in packages} <= code
    shared = {f for f in (ROOT / "configs").iterdir() if f.suffix in (".yaml", ".pbtxt")}
    assert shared
    assert {str(file.relative_to(ROOT)) for file in code} <= names
    assert {f"{stem}.data/data/share/fraud-pipeline/configs/{file.name}" for file in shared} <= names
    assert {name.split("/")[0] for name in names} == {*packages, f"{stem}.data", f"{stem}.dist-info"}
    assert any(name.endswith("/LICENSE") for name in names)
    assert scripts["console_scripts"]["fraud-pipeline"] == "pipeline.cli:main"
    # what was made from the source tree is in the cache of an installation, and the other way round
    code = "from pipeline.source_digest import project; print(project().digest(['pipeline.graph']))"
    command = [sys.executable, "-B", "-c", code]
    digests = [subprocess.check_output(command, cwd=where) for where in (ROOT, tmp_path / "installed")]
    assert digests[0] == digests[1]


def test_the_installed_command_imports():
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="fraud-pipeline")
    assert script.load().__module__ == "pipeline.cli"


def test_kubeflow_holds_no_python():
    """The Kubeflow SDK owns the import name."""
    assert (ROOT / "kubeflow/README.md").is_file()
    assert list((ROOT / "kubeflow").rglob("*.py")) == []


def test_ci_hands_the_real_rows_beside_the_repository_to_the_tests(tmp_path):
    run = tmp_path / "repository/.ci/run"
    run.parent.mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", run)
    make = tmp_path / "bin/make"
    make.parent.mkdir()
    make.write_text('#!/bin/sh\necho "$PWD: make $*, rows in ${FRAUD_PIPELINE_REAL_ROWS:-nowhere}"\nexit 7\n')
    make.chmod(0o755)
    environment = {"PATH": f"{make.parent}:{os.environ['PATH']}"}

    def ci_output() -> str:
        process = subprocess.run([str(run)], env=environment, capture_output=True, text=True, check=False)
        assert process.returncode == 7
        return process.stdout.strip()

    assert ci_output() == f"{tmp_path}/repository: make test COVERAGE=1, rows in nowhere"
    (tmp_path / "shared/data").mkdir(parents=True)
    assert ci_output() == f"{tmp_path}/repository: make test COVERAGE=1, rows in {tmp_path}/shared/data"


def test_make_without_a_goal_explains_every_goal():
    output = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    goals = " ".join(re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)).split()
    assert len(goals) > 10
    assert [goal for goal in goals if f"make {goal} " not in output] == []
