"""The command line's part for clusters: `fraud-pipeline kubeflow`."""
# As in pipeline/cli.py, a command imports what it needs: `--help` must not wait for it.

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.console import Terminal, pass_on, say, say_json, table
from pipeline.invocation import command
from pipeline.options import EXIT_CODES, ConfigPath, ExitCode, Overrides, Verbose, chosen, examples
from trainer import places
from trainer.errors import InputError

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.kubeflow.api import Api
    from pipeline.kubeflow.client import Upload
    from pipeline.kubeflow.following import Task
    from pipeline.kubeflow.settings import KubeflowSettings

kubeflow_app = typer.Typer(
    help="Compile the pipeline for Kubeflow Pipelines; submit, schedule, follow and remove runs there.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="rich",
)

# as the kfp SDK names them
_ENDPOINT = "KF_PIPELINES_ENDPOINT"
_TOKEN_FILE = "KF_PIPELINES_SA_TOKEN_PATH"

Endpoint = Annotated[
    str | None,
    typer.Option(envvar=_ENDPOINT, help="The API's address, in place of kubeflow.endpoint: http://localhost:8888"),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(envvar=_TOKEN_FILE, help="A file with a bearer token; in a pod its own where mounted."),
]
Pipeline = Annotated[Path | None, typer.Argument(help="A compiled pipeline; without it the config is compiled anew.")]
Param = Annotated[
    list[str] | None, typer.Option("--param", "-p", help="A parameter: --param tuner_trials=10; repeat for more.")
]
Wait = Annotated[bool, typer.Option(help="Follow the run until it ends.")]


@kubeflow_app.command(
    "compile", epilog=examples("kubeflow compile", "kubeflow compile --config cluster.yaml --output fraud.yaml")
)
def compile_(
    config: ConfigPath = None,
    overrides: Overrides = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The YAML to write.")] = Path("pipeline.yaml"),
    verbose: Verbose = False,
) -> int:
    """Write the pipeline for Kubeflow Pipelines: schema 2.1.0, with the pods' settings for Kubernetes.

    Needs no cluster and no data. Anything that a cluster would refuse or run wrongly is refused here.
    """
    loaded, settings = _load(config, overrides)
    output, elsewhere = places.expanded(output), "name another file with --output"
    places.check(output, elsewhere)
    text = _compiled(loaded, verbose)
    _refuse_findings(text, "the compiled pipeline")
    places.write(output, text.encode(), elsewhere)
    root = f" with the pipeline root {settings.pipeline_root}" if settings.pipeline_root else ""
    say(
        f"Wrote {output}: image {settings.image}, models to {settings.serving_dir}.",
        "",
        "Next:",
        f"  {command('kubeflow', 'submit', output, *chosen(config, overrides))}",
        f"  or upload it on the page of Kubeflow Pipelines and create a run{root}",
    )
    return ExitCode.DONE


@kubeflow_app.command(epilog=examples("kubeflow lint pipeline.yaml"))
def lint(pipeline: Annotated[Path, typer.Argument(help="A compiled pipeline, as of `compile`.")]) -> int:
    """Find what a cluster would refuse, drop or run wrongly in a compiled pipeline; exit code 2 if there is any."""
    from pipeline.kubeflow.lint.linter import lint as find

    findings = find(_read(pipeline))
    for finding in findings:
        say(f"{finding.where}: {finding.text} ({finding.rule})")
    if findings:
        return ExitCode.BAD_INPUT
    say(f"{pipeline} is in order.")
    return ExitCode.DONE


@kubeflow_app.command(
    epilog=examples("kubeflow submit", "kubeflow submit pipeline.yaml --param tuner_trials=10 --no-wait")
)
def submit(
    pipeline: Pipeline = None,
    config: ConfigPath = None,
    overrides: Overrides = None,
    param: Param = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; by default the pipeline's, with the time.")] = None,
    endpoint: Endpoint = None,
    token_file: TokenFile = None,
    wait: Wait = True,
    verbose: Verbose = False,
) -> int:
    """Start a run: check everything, upload the pipeline if it has changed, create the run, and follow it.

    Ctrl-C stops following; the run goes on.
    """
    loaded, settings = _load(config, overrides)
    api = _api(settings, endpoint, token_file)
    upload = _checked(loaded, settings, pipeline, param, verbose)
    common = _uploaded(api, settings, upload)
    from pipeline.kubeflow import client

    called = name or f"{upload.values.get('run_name', upload.name)} {time.strftime('%Y-%m-%d %H:%M:%S')}"
    run = client.start(api, called, common)
    say(f"Started: {called}, {api.run_url(run.run_id)}")
    same = _same(config, overrides, endpoint, token_file)
    if not wait:
        say(f"Follow it: {command('kubeflow', 'status', run.run_id, '--wait', *same)}")
        return ExitCode.DONE
    return _follow(api, run, same)


@kubeflow_app.command(
    epilog=examples("kubeflow schedule --cron '0 3 * * *'", "kubeflow schedule --list", "kubeflow schedule --disable")
)
def schedule(
    pipeline: Pipeline = None,
    config: ConfigPath = None,
    overrides: Overrides = None,
    cron: Annotated[
        str | None,
        typer.Option(help="When, by the cluster's clock: '0 3 * * *', or six fields with the seconds first."),
    ] = None,
    every: Annotated[str | None, typer.Option(help="How often, in place of --cron: 90m, 6h or 1d.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the schedule; by default the pipeline's.")] = None,
    param: Param = None,
    max_concurrency: Annotated[
        int, typer.Option(min=1, max=10, help="Most runs of the schedule at the same time.")
    ] = 1,
    enable: Annotated[bool, typer.Option("--enable", help="Enable an existing schedule.")] = False,
    disable: Annotated[
        bool, typer.Option("--disable", help="Start no more runs; with --cron or --every, none yet.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show the schedules of the experiment.")] = False,
    endpoint: Endpoint = None,
    token_file: TokenFile = None,
    verbose: Verbose = False,
) -> int:
    """Make or change a schedule of runs; list, enable or disable schedules.

    A schedule of the same name is replaced. Runs that were missed are not made up for.
    """
    from pipeline.kubeflow import client

    makes = cron is not None or every is not None
    if (cron is not None and every is not None) or (makes and (enable or list_)) or enable + disable + list_ > 1:
        raise InputError("one at a time: --cron or --every (with --disable if need be), --enable, --disable or --list")
    if not (makes or enable or disable or list_):
        raise InputError("say when: --cron '0 3 * * *' or --every 1d; or --list, --enable or --disable")
    trigger = client.trigger(cron, every) if makes else None
    loaded, settings = _load(config, overrides)
    api = _api(settings, endpoint, token_file)
    if trigger is None:
        if enable or disable:
            return _enable_schedules(api, settings, name or loaded.name, enable)
        return _list_schedules(api, settings, _same(config, overrides, endpoint, token_file))
    upload = _checked(loaded, settings, pipeline, param, verbose)
    common = _uploaded(api, settings, upload)
    called = name or upload.name
    made, old = client.make_schedule(api, called, common, trigger, max_concurrency=max_concurrency, enabled=not disable)
    replaced = ", in place of the one that was there" if old else ""
    state = "Made, but disabled: enable it with --enable" if disable else "Made"
    see = command("kubeflow", "schedule", "--list", *_same(config, overrides, endpoint, token_file))
    say(f"{state}: the schedule {called}, {client.when(made)}{replaced}. See them all: {see}")
    return ExitCode.DONE


def _enable_schedules(api: Api, settings: KubeflowSettings, name: str, enabled: bool) -> int:
    from pipeline.kubeflow import client

    for one in _named(name, settings, _all_schedules(api, settings)):
        api.enable_schedule(one.recurring_run_id, enabled)
        say(f"{'Enabled' if enabled else 'Disabled'}: the schedule {one.display_name}, {client.when(one)}")
    return ExitCode.DONE


def _list_schedules(api: Api, settings: KubeflowSettings, same: Sequence[str]) -> int:
    from pipeline.kubeflow import client

    schedules = _all_schedules(api, settings)
    if not schedules:
        make = command("kubeflow", "schedule", "--every", "1d", *same)
        say(f"No schedules in the experiment {settings.experiment}; make one: {make}")
        return ExitCode.DONE
    shown = table("name", "when", "at once", "state", "made", "ID")
    for one in schedules:
        made = one.created_at.strftime("%Y-%m-%d %H:%M UTC") if one.created_at else ""
        state = "disabled" if client.is_disabled(one) else "enabled"
        shown.add_row(one.display_name, client.when(one), str(one.max_concurrency), state, made, one.recurring_run_id)
    Terminal().print(shown)
    return ExitCode.DONE


def _all_schedules(api: Api, settings: KubeflowSettings) -> list[Any]:
    experiment = api.experiment(settings.experiment)
    return api.schedules(experiment.experiment_id) if experiment else []


def _named(name: str, settings: KubeflowSettings, schedules: list[Any]) -> list[Any]:
    """The schedules of that name, or the one with that ID.

    Raises:
      InputError: there is none.
    """
    chosen = [one for one in schedules if name in (one.display_name, one.recurring_run_id)]
    if not chosen:
        names = ", ".join(sorted({one.display_name for one in schedules})) or "none"
        raise InputError(f"no schedule {name} in the experiment {settings.experiment}; there are: {names}")
    return chosen


RunName = Annotated[str, typer.Argument(help="A run's ID or name; by default the newest of the experiment.")]


@kubeflow_app.command(epilog=examples("kubeflow status", "kubeflow status --wait"))
def status(
    run: RunName = "newest",
    config: ConfigPath = None,
    overrides: Overrides = None,
    wait: Wait = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the same as a JSON object, for programs.")] = False,
    endpoint: Endpoint = None,
    token_file: TokenFile = None,
) -> int:
    """Show the progress of a run, component by component; exit code 1 if it failed."""
    from pipeline.kubeflow import following

    _, settings = _load(config, overrides)
    api = _api(settings, endpoint, token_file)
    kfp_run = api.find_run(run, settings.experiment)
    if wait and not json_:
        return _follow(api, kfp_run, _same(config, overrides, endpoint, token_file))
    tasks = following.tasks(kfp_run, following.plan_of(api, kfp_run))
    url, state = api.run_url(kfp_run.run_id), str(kfp_run.state or "PENDING").lower()
    code = ExitCode.DONE
    if following.has_ended(kfp_run) and not following.has_succeeded(kfp_run):
        code = ExitCode.RUN_FAILED
    if json_:
        shown = [{"name": task.name, "state": task.state, "seconds": task.seconds, "pods": task.pods} for task in tasks]
        about = {"run_id": kfp_run.run_id, "name": kfp_run.display_name, "state": state, "url": url}
        say_json({**about, "components": shown})
        return code
    print_tasks(Terminal(), f"{kfp_run.display_name}: {state}", tasks)
    say(url)
    for task in tasks:
        if task.state == "failed":
            say(*_failure(api, kfp_run, task, _same(config, overrides, endpoint, token_file)))
    return code


def print_tasks(terminal: Terminal, title: str, tasks: Sequence[Task]) -> None:
    """A run's components, their states and times."""
    shown = table("component", "state", "time", title=title)
    for task in tasks:
        seconds = "" if task.seconds is None or task.state == "cached" else f"{task.seconds:.0f} s"
        shown.add_row(task.name, task.state, seconds)
    terminal.print(shown)


@kubeflow_app.command(epilog=examples("kubeflow logs newest", "kubeflow logs newest Trainer"))
def logs(
    run: Annotated[str, typer.Argument(help="A run's ID or name, or `newest`.")],
    component: Annotated[
        str | None, typer.Argument(help="A component, such as Trainer; by default those that failed.")
    ] = None,
    config: ConfigPath = None,
    overrides: Overrides = None,
    endpoint: Endpoint = None,
    token_file: TokenFile = None,
) -> int:
    """Print the log of a component's container; of several attempts, the last one's.

    It comes from the API, or else from kubectl, where that is installed.
    """
    from difflib import get_close_matches

    from pipeline.kubeflow import following

    _, settings = _load(config, overrides)
    api = _api(settings, endpoint, token_file)
    kfp_run = api.find_run(run, settings.experiment)
    tasks = {task.name: task for task in following.tasks(kfp_run, following.plan_of(api, kfp_run))}
    if component is not None and component not in tasks:
        near = get_close_matches(component, tasks, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(tasks) or 'none yet'}"
        raise InputError(f"the run {kfp_run.display_name} has no component {component}; {hint}")
    selection = [tasks[component]] if component else [task for task in tasks.values() if task.state == "failed"]
    if not selection:
        raise InputError(
            f"nothing failed in {kfp_run.display_name}; name a component: {', '.join(tasks) or 'none yet'}"
        )
    for task in selection:
        pass_on(_log(api, settings, kfp_run, task))
    return ExitCode.DONE


def _log(api: Api, settings: KubeflowSettings, run: Any, task: Task) -> str:
    from pipeline.kubeflow import following

    if task.state == "cached":
        raise InputError(f"{task.name} came from the cache in this run, so it has no log; the run that made it has one")
    if not task.pods and task.state == "done":
        raise InputError(
            f"{task.name} is done, but the API does not say in which pod; see the run's page: {api.run_url(run.run_id)}"
        )
    if not task.pods:
        raise InputError(f"{task.name} is {task.state}, and no pod of it has started yet")
    text = api.log(run.run_id, task.pods[0])
    command = following.kubectl(settings.namespace, task.pods[0])
    if text is None:
        text = following.read_by_kubectl(command)
    if text is None:
        raise InputError(
            f"the API has no log of {task.name}, whose pod may be gone; the run's page may have it: "
            f"{api.run_url(run.run_id)}; or, where kubectl reaches the cluster: {' '.join(command)}"
        )
    return text


@kubeflow_app.command(epilog=examples("kubeflow delete --run newest --yes", "kubeflow delete --schedule fraud --yes"))
def delete(
    run: Annotated[
        str | None, typer.Option(help="A run's ID or name, or `newest`; a run that is going on is ended.")
    ] = None,
    schedule: Annotated[str | None, typer.Option(help="A schedule's name or ID.")] = None,
    versions: Annotated[
        bool, typer.Option("--versions", help="The pipeline's uploaded versions, except those that a schedule runs.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without this, only say what would be removed.")
    ] = False,
    config: ConfigPath = None,
    overrides: Overrides = None,
    endpoint: Endpoint = None,
    token_file: TokenFile = None,
) -> int:
    """Remove a run, a schedule, or a pipeline's versions; with --yes.

    Artifacts in the object store and models in service stay.
    """
    if (run is not None) + (schedule is not None) + versions != 1:
        raise InputError("say what to remove: --run RUN, --schedule NAME, or --versions")
    loaded, settings = _load(config, overrides)
    api = _api(settings, endpoint, token_file)
    if run is not None:
        doomed = _run(api, settings, run)
    elif schedule is not None:
        doomed = _schedules(api, settings, schedule)
    else:
        doomed = _versions(api, loaded.name)
    for what, remove in doomed.items():
        if yes:
            remove()
        say(f"{'Removed' if yes else 'Would remove'} {what}")
    if not yes:
        raise InputError("nothing was removed; add --yes to remove it")
    return ExitCode.DONE


Doomed = dict[str, Any]  # what to remove, in words, and the function that removes it


def _run(api: Api, settings: KubeflowSettings, named: str) -> Doomed:
    run = api.find_run(named, settings.experiment)
    state = str(run.state or "pending").lower()
    return {f"the run {run.display_name} ({run.run_id}, {state})": partial(api.delete_run, run.run_id)}


def _schedules(api: Api, settings: KubeflowSettings, name: str) -> Doomed:
    from pipeline.kubeflow import client

    return {
        f"the schedule {one.display_name} ({one.recurring_run_id}, {client.when(one)})": partial(
            api.delete_schedule, one.recurring_run_id
        )
        for one in _named(name, settings, _all_schedules(api, settings))
    }


def _versions(api: Api, name: str) -> Doomed:
    pipeline = api.pipeline(name)
    if pipeline is None:
        raise InputError(f"{api.endpoint} has no pipeline {name}")
    used = {
        one.pipeline_version_reference.pipeline_version_id: one.display_name
        for one in api.schedules()
        if one.pipeline_version_reference
    }
    doomed: Doomed = {}
    for version in api.versions(pipeline.pipeline_id):
        version_id = version.pipeline_version_id
        if version_id in used:
            say(f"Kept: the version {version.display_name}, which the schedule {used[version_id]} runs")
        else:
            remove = partial(api.delete_version, pipeline.pipeline_id, version_id)
            doomed[f"the version {version.display_name} ({version_id}) of the pipeline {name}"] = remove
    if not doomed:
        raise InputError(f"the pipeline {name} has no versions to remove")
    return doomed


# Shared by the commands


def _same(config: Path | None, overrides: list[str] | None, endpoint: str | None, token_file: Path | None) -> list[str]:
    """Options with which a command uses the same configuration and API, without those that the environment sets."""
    options = (("--endpoint", _ENDPOINT, endpoint), ("--token-file", _TOKEN_FILE, token_file))
    return [
        *chosen(config, overrides),
        *(
            word
            for name, variable, value in options
            if value is not None and str(value) != os.environ.get(variable)
            for word in (name, str(value))
        ),
    ]


def _load(path: Path | None, overrides: list[str] | None) -> tuple[Config, KubeflowSettings]:
    from pipeline.config import load, preset

    path = path or preset("kubeflow")
    config = load(path, overrides or ())
    if config.kubeflow is None:
        raise InputError(f"{path} has no section kubeflow; begin with configs/kubeflow.yaml, which has one")
    return config, config.kubeflow


def _read(path: Path) -> str:
    try:
        return places.expanded(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = places.problem(error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(
            f"{path} cannot be read: {reason}; to compile a pipeline: {command('kubeflow', 'compile')}"
        ) from error


def _compiled(config: Config, verbose: bool) -> str:
    """The compiled pipeline; what TensorFlow and TFX print is hidden."""
    with _hidden(verbose):
        from pipeline.imports import lean

        with lean():
            from pipeline.kubeflow.compiling import compile_pipeline
        return compile_pipeline(config)


@contextmanager
def _hidden(verbose: bool) -> Iterator[None]:
    """Redirects what libraries print to a file, which is kept only after a failure.

    The file is not in the config's workspace, which may not exist on this machine.
    """
    from pipeline.console import quiet

    with tempfile.NamedTemporaryFile(prefix="fraud-pipeline-", suffix=".log", delete=False) as file:
        log = Path(file.name)
    try:
        with quiet(log, verbose=verbose):
            yield
    except InputError:
        log.unlink()
        raise
    except Exception:
        say(f"What was printed before: {log}")
        raise
    log.unlink()


def _refuse_findings(text: str, what: str) -> None:
    from pipeline.kubeflow.lint.linter import lint as find

    findings = find(text)
    if findings:
        lines = "\n  ".join(f"{finding.where}: {finding.text} ({finding.rule})" for finding in findings)
        raise InputError(f"{what} would not run as it is:\n  {lines}")


def _api(settings: KubeflowSettings, endpoint: str | None, token_file: Path | None) -> Api:
    """The API, after checking that it answers."""
    from pipeline.kubeflow.api import Api

    address = endpoint or settings.endpoint
    if address is None:
        raise InputError(
            "which Kubeflow Pipelines? Set kubeflow.endpoint in the config, or KF_PIPELINES_ENDPOINT, or give "
            "--endpoint http://localhost:8888 after kubectl -n kubeflow port-forward service/ml-pipeline 8888"
        )
    api = Api(address, namespace=settings.namespace, token_file=token_file)
    api.reach()
    return api


def _checked(
    config: Config, settings: KubeflowSettings, pipeline: Path | None, param: list[str] | None, verbose: bool
) -> Upload:
    """The pipeline to upload, after all checks that need no cluster."""
    from pipeline.kubeflow import client

    text = _read(pipeline) if pipeline else _compiled(config, verbose)
    _refuse_findings(text, str(pipeline or "the compiled pipeline"))
    upload = client.Upload.from_text(text, param or ())
    _check_search(upload.values)
    path = upload.values.get("data_path")
    if path is not None and "://" not in path and not settings.pod("ExampleGen").mounts(path):
        raise InputError(
            f"ExampleGen's pod can't see --param data_path={path}; name gs:// or s3://, or a folder of a volume in "
            "kubeflow.pods.volumes"
        )
    return upload


def _check_search(values: Mapping[str, Any]) -> None:
    """Whether a search may have these parameters of a run; a budget of 0 is none."""
    from pydantic import ValidationError

    from trainer.errors import faults
    from trainer.search.settings import Tuning

    for name, key in (("tuner_trials", "trials"), ("tuner_budget_minutes", "budget_minutes")):
        if name not in values or (key == "budget_minutes" and values[name] == 0):
            continue
        setting = {key: values[name]}
        try:
            Tuning.model_validate(setting)
        except ValidationError as error:
            raise InputError(f"--param {name}: {faults(error, setting)[0].text}") from error


def _uploaded(api: Api, settings: KubeflowSettings, upload: Upload) -> dict[str, Any]:
    """Uploads the pipeline, says so, and returns what its runs and schedules have in common."""
    from pipeline.kubeflow import client

    common, new = client.upload(api, upload, settings)
    say(f"{'Uploaded' if new else 'Already there'}: version {upload.version} of the pipeline {upload.name}")
    return common


def _follow(api: Api, run: Any, same: Sequence[str]) -> int:
    """Shows the run until it ends, and how it ended; same: options for further commands."""
    from pipeline.displays import RunDisplay
    from pipeline.kubeflow import following
    from pipeline.kubeflow.api import ApiError

    run_id, url = run.run_id, api.run_url(run.run_id)
    follow = command("kubeflow", "status", run_id, "--wait", *same)
    try:
        with RunDisplay(Terminal()) as display:
            run = following.follow(api, run, display)
    except KeyboardInterrupt:
        end = command("kubeflow", "delete", "--run", run_id, "--yes", *same)
        say("", f"The run goes on: {url}", f"To follow it: {follow}", f"To end it: {end}")
        return ExitCode.INTERRUPTED
    except ApiError as error:
        raise InputError(f"{error}\nThe run goes on; to follow it: {follow}") from error
    if following.has_succeeded(run):
        say("", f"Done: {url}")
        return ExitCode.DONE
    for task in following.tasks(run, following.plan_of(api, run)):
        if task.state == "failed":
            say("", *_failure(api, run, task, same))
    say("", f"The run has ended, {str(run.state).lower()}: {url}")
    return ExitCode.RUN_FAILED


def _failure(api: Api, run: Any, task: Task, same: Sequence[str]) -> list[str]:
    """Lines that say why a task failed, and how to see its log."""
    from pipeline.kubeflow import following

    reason = following.why(api, run, task) or "no reason known"
    return [f"{task.name}: {reason}", f"Its log: {command('kubeflow', 'logs', run.run_id, task.name, *same)}"]
