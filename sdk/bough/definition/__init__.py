"""bough.yml: read, checked, and turned into what the rest works with.

Promises: whatever is wrong is one sentence with a remedy, and file and line where there is a file, before anything
starts. Standard library only, but for PyYAML, which is imported when a text is read. Runs on Python 3.7.
"""

from __future__ import annotations

from bough.definition.expressions import Expression
from bough.definition.json_schema import schema
from bough.definition.model import Command, Definition, load, loads, parse
from bough.definition.settings import Settings, read_duration
from bough.definition.space import Space
from bough.definition.tree import ChoiceGroup, Group, Parameter, walk
from bough.definition.values import replace_templates
from bough.definition.yaml_writer import dumps

__all__ = [
    "ChoiceGroup",
    "Command",
    "Definition",
    "Expression",
    "Group",
    "Parameter",
    "Settings",
    "Space",
    "dumps",
    "load",
    "loads",
    "parse",
    "read_duration",
    "replace_templates",
    "schema",
    "walk",
]
