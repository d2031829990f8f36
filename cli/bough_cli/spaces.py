"""A search space on the terminal: the tree of its hyperparameters, what hyperopt is given, and samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bough_cli import tables, wording
from bough_cli.client import Address, Client
from bough_cli.wording import Row

if TYPE_CHECKING:
    from rich.tree import Tree

    from bough.definition import Definition

SAMPLES = 10


def show_planned(definition: Definition, fixed: dict[str, Any], address: Address | None, as_json: bool) -> None:
    """Print the space of a definition that nothing runs of yet; it is described here where there is no coordinator."""
    if address is None:
        space = _described_here(definition, fixed)
    else:
        with Client(address) as client:
            space = client.post("/space", {"definition": definition.raw, "fixed": fixed})
    if as_json:
        tables.show_json(space)
    else:
        show(space, f"space of {definition.model}")


def _described_here(definition: Definition, fixed: dict[str, Any]) -> Row:
    from bough_server.optimizers.client import OptimizerProcess

    definition.fix(fixed)

    async def described() -> Row:
        process = OptimizerProcess()
        try:
            return await process.describe(definition.space.to_json(), definition.settings.seed or 0, SAMPLES)
        finally:
            await process.stop()

    import asyncio  # a fortieth of a second that no other command spends

    return asyncio.run(described())


def show(space: Row, title: str) -> None:
    """Print a space as the coordinator describes it (`GET /optimizations/{id}/space`)."""
    tables.console().print(tree(space, title))
    click.echo(f"\nhyperopt's space:\n{space['hyperopt']}")
    drawn: list[Row] = space["samples"]
    if drawn:
        click.echo(f"\n{len(drawn)} samples, seed {space['seed']}:")
        searched = [path for path in searched_paths(space["tree"]) if any(path in one for one in drawn)]
        cells = [[wording.number(one.get(path)) for path in searched] for one in drawn]
        tables.show_table([f"{path}#" for path in searched], cells, "")


def searched_paths(nodes: list[Row]) -> list[str]:
    """Return the full paths that are searched, in the order of the file."""
    found = []
    for node in nodes:
        found += [node["path"]] if node["search"] else []
        for branch in node["branches"]:
            found += searched_paths(branch["children"])
    return found


def tree(space: Row, title: str) -> Tree:
    """Return the tree as rich draws it; each branch of a choice stands below it."""
    from rich.tree import Tree

    root = Tree(title)
    _add(root, space["tree"])
    return root


def _add(tree: Tree, nodes: list[Row]) -> None:
    for node in nodes:
        below = tree.add(label(node))
        for branch in node["branches"]:
            is_plain = branch["name"] is None
            _add(below if is_plain else below.add(_branch(branch)), branch["children"])


def _branch(branch: Row) -> str:
    return f"{branch['name']}:" if branch["active"] else f"{branch['name']}: (never)"


def label(node: Row) -> str:
    """Return one line: ``lr  number, loguniform(0.0001, 1), default 0.1``."""
    kind = "integer" if node["integer"] and node["type"] == "number" else node["type"]
    if node["search"]:
        now = f"{node['search']}, default {_value(node['default'])}"
    elif node["fixed"] is not None:
        now = f"fixed at {_value(node['fixed'])}, default {_value(node['default'])}"
    else:
        now = "" if node["default"] is None else f"stays {_value(node['default'])}"
    return f"{node['name']}  {', '.join(part for part in (kind, now) if part)}"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)
    return wording.number(value)
