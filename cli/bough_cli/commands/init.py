"""`bough init`: a first bough.yml, made from the script that lies there."""

from __future__ import annotations

import ast
import getpass
import re
from pathlib import Path

import click

from bough.errors import Conflict, NotFound
from bough_cli.source import FILE

USUAL = ("train.py", "main.py", "run.py")

TEXT = """\
# What bough runs and searches. All keys: docs/bough-yml.md
model: {model}
command: {command}

hyperparameters:            # name: default; the script reads them with job.get_parameter("name")
{hyperparameters}

optimization:
  algorithm: tpe            # or random, annealing, grid, optuna-tpe, optuna-gp, optuna-cmaes
  max_trials: 50
  max_parallel: 2
  space:                    # what is searched; everything else stays at its default
{space}
"""


@click.command("init")
@click.argument("directory", default=".", type=click.Path(path_type=Path, file_okay=False))
@click.option("--script", metavar="FILE", help="What to run; default: train.py, main.py or the only script there.")
@click.option("--model", metavar="OWNER/NAME", help="Default: your name and the folder's.")
@click.option("--from-aetros", is_flag=True, help="Make it from the aetros.yml there, and name what cannot be.")
def command(directory: Path, script: str | None, model: str | None, from_aetros: bool) -> None:
    """Write a first bough.yml."""
    from bough import definition

    path = directory / FILE
    if path.exists():
        raise Conflict(f"{path} is already there.", "Edit it, or delete it first.")
    if not directory.is_dir():
        raise NotFound(f"there is no directory {directory}.", "Make it first.")
    if from_aetros:
        _convert(directory, path, model)
        return
    found = directory / script if script else find_script(directory)
    text = first_definition(found, directory, model or _model(directory))
    definition.loads(text, str(path))
    path.write_text(text, encoding="utf-8")
    click.echo(f"{path} runs {found.relative_to(directory)}. Set names, defaults and bounds in it, then:")
    click.echo(f"  git add {FILE} && git commit -m 'Add {FILE}'")
    click.echo(f"  bough run {directory}          # one job, to see that it reports")
    click.echo(f"  bough optimize {directory}")


def _convert(directory: Path, path: Path, model: str | None) -> None:
    """Write a bough.yml that says what an aetros.yml says, and name what it cannot."""
    from bough import definition
    from bough_cli import aetros_yml

    source = aetros_yml.find(directory)
    made = aetros_yml.convert(aetros_yml.read(source), model or _model(directory))
    if model is not None:
        made.raw["model"] = model
    text = aetros_yml.text_of(made)
    definition.loads(text, str(path))
    path.write_text(f"# Made from {source.name}. All keys: docs/bough-yml.md\n{text}", encoding="utf-8")
    click.echo(f"{path} says what {source.name} says" + (", but for:" if made.unmapped else "."))
    for name, remedy in made.unmapped:
        click.echo(f"  {name}: {remedy}")
    click.echo("AETROS kept what is searched on its server: write it into optimization: (docs/bough-yml.md). Then:")
    click.echo(f"  git add {FILE} && git commit -m 'Add {FILE}'")
    click.echo(f"  bough run {directory}          # one job, to see that it reports")


def find_script(directory: Path) -> Path:
    """Return the script to run.

    Raises:
        NotFound: There is none, or several and none has a usual name.
    """
    for name in USUAL:
        if (directory / name).is_file():
            return directory / name
    scripts = sorted(path for path in directory.glob("*.py") if not path.name.startswith(("test_", "setup", "_")))
    if len(scripts) == 1:
        return scripts[0]
    names = ", ".join(path.name for path in scripts[:5]) or "no script"
    raise NotFound(f"what to run is not clear in {directory.absolute()}: there is {names}.", "Add: --script FILE.")


def first_definition(script: Path, directory: Path, model: str) -> str:
    """Return the text of a bough.yml for a script: the numbers it already asks for, else a learning rate.

    Raises:
        NotFound: There is no such script.
    """
    if not script.is_file():
        raise NotFound(f"there is no script {script}.", "Name one that is there: --script FILE.")
    asked = asked_for(script.read_text(encoding="utf-8", errors="replace")) or {"lr": 0.01}
    name = script.relative_to(directory).as_posix()
    run = f"python {name}" if script.suffix == ".py" else f"bash {name}"
    space = [f"    {path}: {_bounds(value)}" for path, value in asked.items()]
    return TEXT.format(
        model=model,
        command=run,
        hyperparameters="\n".join(f"  {path}: {value}" for path, value in asked.items()),
        space="\n".join(space),
    )


def asked_for(text: str) -> dict[str, float]:
    """Return the numbers that a script asks for with ``get_parameter("name", default=number)``, in its order."""
    pattern = r"""get_parameter\(\s*["']([A-Za-z_]\w*)["']\s*,\s*(?:default\s*=\s*)?([-+.\deE]+)\s*\)"""
    found = {}
    for name, literal in re.findall(pattern, text):
        try:
            value = ast.literal_eval(literal)
        except (ValueError, SyntaxError):
            continue
        found[name] = value
    return found


def _bounds(value: float) -> str:
    """A first guess: a decade either side of a positive default; whole numbers stay whole."""
    if isinstance(value, int):
        low, high = (max(value // 4, 1), value * 4) if value > 0 else (value - 10, value + 10)
        return f"uniformint({low}, {high})"
    if value > 0:
        return f"loguniform({value / 10:.6g}, {value * 10:.6g})"
    return f"uniform({value - 1:.6g}, {value + 1:.6g})"


def _model(directory: Path) -> str:
    """``user/folder`` in the letters that names may have."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "me"
    return f"{_name(user, 'me')}/{_name(directory.absolute().name, 'model')}"


def _name(text: str, otherwise: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._")[:60]
    return re.sub(r"\.(git|lock)$", "", re.sub(r"\.{2,}", ".", name)) or otherwise
