"""The image: what its Dockerfile promises, its locks, and the script that builds it; an image that is there as well."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTHONS = ("3.11", "3.12", "3.13")
# An image that was built: the tests of what is in it run in containers of podman.
IMAGE = os.environ.get("FRAUD_PIPELINE_IMAGE")


@dataclass(frozen=True)
class Step:
    """An instruction of the Dockerfile."""

    stage: str
    name: str
    rest: str


def steps() -> list[Step]:
    lines = [line for line in (ROOT / "kubeflow/Dockerfile").read_text().splitlines() if not re.match(r"\s*#", line)]
    parsed, stage = [], ""
    for text in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if text.strip():
            name, _, rest = text.strip().partition(" ")
            if name == "FROM":
                stage = rest.partition(" AS ")[2] or "image"
            parsed.append(Step(stage, name, " ".join(rest.split())))
    return parsed


def of(stage: str, name: str) -> list[str]:
    return [step.rest for step in steps() if (step.stage, step.name) == (stage, name)]


def test_no_stage_names_an_image_that_a_build_argument_could_not_replace() -> None:
    bases = [step.rest.partition(" AS ")[0] for step in steps() if step.name == "FROM"]
    stages = {step.stage for step in steps()}
    assert bases[0] == "${BASE}"
    assert set(bases[1:]) <= stages


def test_the_image_runs_as_a_user_by_number_who_is_not_root() -> None:
    (user,) = of("image", "USER")
    number, group = user.split(":")
    assert int(number) == int(group) == 10001


def test_the_compiler_stays_in_the_stage_that_builds() -> None:
    installing = {step.stage: step.rest for step in steps() if "apt-get" in step.rest}
    assert set(installing) == {"base", "dependencies"}
    assert "g++" in installing["dependencies"]
    assert re.search(r"install --yes --no-install-recommends python3;", installing["base"])
    assert [copied for copied in of("image", "COPY") if not copied.startswith("--from=")] == []


def test_code_that_changes_leaves_the_layer_of_what_it_needs_alone() -> None:
    assert of("dependencies", "COPY") == [
        "requirements/build.txt requirements/",
        "requirements/image*.txt requirements/",
    ]
    assert of("image", "COPY") == [
        "--from=dependencies /opt/fraud-pipeline /opt/fraud-pipeline",
        "--from=project /project/ /",
    ]


def test_what_is_installed_is_checked_against_hashes() -> None:
    fetching = [
        command
        for step in steps()
        if step.name == "RUN"
        for command in step.rest.split(";")
        if re.search(r"pip (\S+ \S+ )?(install|wheel) ", command) and "--no-index" not in command
    ]
    assert len(fetching) == 2
    assert all("--require-hashes" in command and "--no-deps" in command for command in fetching)


def test_its_imports_are_tried_when_it_is_built_without_leaving_anything() -> None:
    (check,) = [command for command in of("image", "RUN") if "python -c" in command]
    assert check.startswith("--mount=type=tmpfs,target=/tmp ")
    assert {"pipeline.graph", "pipeline.kubeflow.entrypoint"} <= set(re.findall(r"[\w.]+", check))
    order = [(step.name, step.rest) for step in steps() if step.stage == "image"]
    assert order.index(("USER", "10001:10001")) < order.index(("RUN", check))


def test_the_context_is_what_the_build_copies_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert (lines[0], lines[-1]) == ("*", "**/__pycache__")
    let_in = {line[1:] for line in lines[1:-1]}
    assert all(line.startswith("!") for line in lines[1:-1])
    copied = [word for step in steps() if step.name == "COPY" for word in step.rest.split()[:-1]]
    names = {
        str(path.relative_to(ROOT)) for word in copied if not word.startswith(("-", "/")) for path in ROOT.glob(word)
    }
    assert let_in == names


def test_the_context_has_what_the_package_is_made_of() -> None:
    tool = PROJECT["tool"]["setuptools"]
    files = [file for pattern in tool["data-files"].values() for each in pattern for file in ROOT.glob(each)]
    assert files
    for path in [*files, *(ROOT / name.rstrip("*") for name in tool["packages"]["find"]["include"])]:
        assert path.relative_to(ROOT).parts[0] in of("project", "COPY")[0].split() + [
            copied.split()[0] for copied in of("project", "COPY")
        ]


def read(lock: str) -> dict[tuple[str, str], tuple[str, frozenset[str]]]:
    """(name, marker) -> (version, hashes)."""
    text = re.sub(r"\\\n", " ", (ROOT / "requirements" / lock).read_text(encoding="utf-8"))
    pins = {}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            pin = Requirement(line.split(" --hash")[0])
            pins[pin.name, str(pin.marker)] = str(pin.specifier), frozenset(re.findall(r"--hash=(\S+)", line))
    return pins


def test_the_image_has_the_versions_that_were_tested_and_no_tool_of_development() -> None:
    image, tested = read("image.txt"), read("tfx-1.21.txt")
    names = {name for name, _ in image}
    assert {"tfx", "kfp", "boto3"} <= names
    tools = {Requirement(tool).name.lower() for tool in PROJECT["project"]["optional-dependencies"]["dev"]}
    assert not tools - {"psutil"} & names, "psutil is among the dependencies' own"
    versions = {(name, pin[0]) for (name, _), pin in tested.items()}
    assert {(name, pin[0]) for (name, _), pin in image.items()} <= versions
    assert all(
        hashes and all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in hashes) for _, hashes in image.values()
    )


@pytest.mark.parametrize("python", PYTHONS)
def test_the_image_has_all_that_the_project_needs_there(python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    project = PROJECT["project"]
    requirements = [
        Requirement(text) for text in [*project["dependencies"], *project["optional-dependencies"]["kubeflow"]]
    ]
    requirements = [want for want in requirements if want.marker is None or want.marker.evaluate(environment)]
    locked = {
        name: version.removeprefix("==")
        for (name, marker), (version, _) in read("image.txt").items()
        if marker == "None" or Requirement(f"{name}; {marker}").marker.evaluate(environment)  # type: ignore[union-attr]
    }
    assert len(requirements) > 20
    for want in requirements:
        assert locked[re.sub("[-_.]+", "-", want.name).lower()] in want.specifier, want


def test_the_gpu_image_has_cuda_s_libraries_besides() -> None:
    image, gpu = read("image.txt"), read("image-gpu.txt")
    assert gpu.items() >= image.items()
    more = {name for name, _ in gpu.keys() - image.keys()}
    assert {"nvidia-cudnn-cu12", "nvidia-cuda-runtime-cu12", "nvidia-cuda-nvcc-cu12", "nvidia-nccl-cu12"} <= more
    assert all(name.startswith("nvidia-") for name in more)


@dataclass
class Machine:
    """What scripts/image.sh finds on its PATH; builders note what they were asked."""

    folder: Path

    def has(self, *builders: str, daemon: bool = True) -> None:
        for builder in builders:
            file = self.folder / builder
            file.write_text(
                f'#!/bin/sh\n[ "$1" = info ] && exit {0 if daemon else 1}\n'
                f'printf "%s\\n" "$(basename "$0")" "$@" >{self.folder}/asked\n'
            )
            file.chmod(0o755)

    def image(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(ROOT / "scripts/image.sh"), *words],
            env={"PATH": str(self.folder)}, capture_output=True, text=True,
        )  # fmt: skip

    def builder_words(self) -> list[str]:
        return (self.folder / "asked").read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for tool in ("dirname", "sed", "git", "date", "basename"):
        where = shutil.which(tool)
        assert where
        (tmp_path / tool).symlink_to(where)
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("builders", "daemon", "used"),
    [
        (("docker", "podman", "buildah"), True, "docker"),
        (("docker", "podman", "buildah"), False, "podman"),
        (("podman",), True, "podman"),
        (("buildah",), True, "buildah"),
    ],
)
def test_whichever_builder_is_there_builds(
    machine: Machine, builders: tuple[str, ...], daemon: bool, used: str
) -> None:
    machine.has(*builders, daemon=daemon)
    assert machine.image().returncode == 0
    builder_words = machine.builder_words()
    assert builder_words[:4] == [used, "build", "--file", "kubeflow/Dockerfile"]
    assert builder_words[builder_words.index("--tag") + 1] == f"fraud-pipeline:{PROJECT['project']['version']}-cpu"
    assert {"ACCELERATOR=cpu", f"VERSION={PROJECT['project']['version']}"} <= set(builder_words)
    assert builder_words[-1] == "."


def test_a_gpu_s_image_has_another_base_and_the_caller_s_options_come_last(machine: Machine) -> None:
    machine.has("podman")
    assert machine.image("gpu", "--build-arg", "BASE=mirror/cuda", "--no-cache").returncode == 0
    builder_words = machine.builder_words()
    assert "ACCELERATOR=gpu" in builder_words
    assert re.search(
        r"nvidia/cuda:12\.\d+\.\d+-base-ubuntu24\.04$", next(word for word in builder_words if word[:5] == "BASE=")
    )
    assert builder_words[-4:] == ["--build-arg", "BASE=mirror/cuda", "--no-cache", "."]


def test_without_a_builder_it_says_what_to_install(machine: Machine) -> None:
    finished = machine.image()
    assert finished.returncode == 1
    assert "install one of them" in finished.stderr
    machine.has("docker", daemon=False)
    assert "its daemon does not answer" in machine.image().stderr
    assert "cpu or gpu" in machine.image("tpu").stderr


def container(*command: str) -> subprocess.CompletedProcess[str]:
    """A command in the image as a cluster may run it: root's file system read-only, no rights, no network."""
    if not IMAGE:
        pytest.skip("FRAUD_PIPELINE_IMAGE names no image of podman's")
    podman = ["podman", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", "--cap-drop", "all"]
    # Where the machine gives no more than these; runc, since crun of Debian 12 wants more.
    limits = ["--runtime", "runc", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]
    rights = ["--security-opt", "no-new-privileges"]
    return subprocess.run([*podman, *limits, *rights, IMAGE, *command], capture_output=True, text=True, timeout=300)


def test_the_built_image_runs_without_rights_and_writes_nothing() -> None:
    code = """
import json, os, subprocess, sys, tempfile
import trainer, pipeline.graph, pipeline.kubeflow.entrypoint
tempfile.TemporaryFile().close()
def writable(folder):
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True
print(json.dumps({
    "user": os.getuid(), "compilers": [name for name in ("cc", "gcc", "g++", "c++", "pip") if not
        subprocess.call(["sh", "-c", f"command -v {name} >/dev/null"])],
    "writable": list(filter(writable, ("/", "/opt", "/workspace", os.path.dirname(trainer.__file__)))),
    "compiled": all(os.path.exists(module.__cached__) for module in list(sys.modules.values())
        if (getattr(module, "__file__", None) or "").startswith("/opt/") and getattr(module, "__cached__", None)),
    "configs": sorted(os.listdir(sys.prefix + "/share/fraud-pipeline/configs")),
}))
"""
    finished = container("python", "-c", code)
    assert finished.returncode == 0, finished.stderr
    report = json.loads(finished.stdout.splitlines()[-1])
    configs = sorted(file.name for file in (ROOT / "configs").iterdir())
    assert report == {"user": 10001, "compilers": [], "writable": [], "compiled": True, "configs": configs}


def test_the_built_image_has_the_command() -> None:
    finished = container("fraud-pipeline", "--help")
    assert finished.returncode == 0, finished.stderr
    assert "kubeflow" in finished.stdout
