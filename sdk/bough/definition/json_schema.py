"""The JSON schema of a bough.yml, for editors, forms and the API.

It describes the shape. What needs more than one place to see (bounds, choices, paths of the space, which expression
fits which type) is checked by `parse`, whose word is the last.
"""

from __future__ import annotations

from bough.definition import settings, tree
from bough.definition.expressions import SIGNATURES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

    Schema = Dict[str, Any]

_TEXT: Schema = {"type": "string"}
_BOOLEAN: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "number"}
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_DURATION: Schema = {
    "type": ["string", "null"],
    "pattern": "^ *([0-9]+(\\.[0-9]+)? *(ms|s|m|h|d) *)+$",
    "description": "Units are always written: 90s, 10m, 1h30m.",
}
_NAMES: Schema = {"anyOf": [{"type": "null"}, _TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}


_SHARE: Schema = {"type": ["number", "null"], "exclusiveMinimum": 0}
_COMMANDS: Schema = {
    "type": "array",
    "items": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]},
    "minItems": 1,
}


def schema() -> Schema:
    """Return the JSON schema (draft 2020-12) of a bough.yml."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bough.yml",
        **_object(_top(), required=["model", "command"]),
        "$defs": {
            "hyperparameters": {
                "type": ["object", "null"],
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_-]{0,99}$"},
                "additionalProperties": {"$ref": "#/$defs/hyperparameter"},
            },
            "hyperparameter": {"anyOf": [_SCALAR, _group_in_short(), *(_long_form(kind) for kind in tree.TYPES)]},
        },
    }


def _object(properties: Schema, **more: Any) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


def _optional(schema: Schema) -> Schema:
    return {"anyOf": [{"type": "null"}, schema]}


def _setup() -> Schema:
    text = {"type": ["string", "null"]}
    return {"requirements": text, "commands": {"anyOf": [text, _COMMANDS]}, "files": _NAMES, "python": text}


def _top() -> Schema:
    argv: Schema = {"type": "array", "items": _TEXT, "minItems": 1}
    command = {"anyOf": [{"type": "string", "minLength": 1}, argv]}
    return {
        "model": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$"},
        "command": {
            "description": "Split without a shell; {{name}} is replaced. A list or mapping runs in order.",
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": command, "minItems": 1},
                {"type": "object", "additionalProperties": command, "minProperties": 1},
            ],
        },
        "hyperparameters": {"$ref": "#/$defs/hyperparameters"},
        "optimization": _optional(_object(_optimization(), required=["space"])),
        "git": {
            "anyOf": [
                {"type": ["string", "null"]},
                _object({"url": _TEXT, "branch": _TEXT, "folder": _TEXT, "follow_branch": _BOOLEAN}),
            ]
        },
        "agents": _NAMES,
        "data": _NAMES,
        "env": _optional({"type": "object", "additionalProperties": _SCALAR}),
        "output": _NAMES,
        "setup": {"anyOf": [{"type": "null"}, _TEXT, _COMMANDS, _object(_setup())]},
        "resources": _optional(
            _object({"cpu": _SHARE, "gpu": _SHARE, "memory": _optional(_TEXT), "gpu_memory": _optional(_TEXT)})
        ),
        "priority": {"type": ["integer", "null"]},
        "on_end": {"anyOf": [{"type": "null"}, _TEXT, _NAMES]},
        "working_dir": {"type": ["string", "null"]},
    }


def _optimization() -> Schema:
    most: Schema = {"type": ["integer", "null"], "minimum": 1}
    return {
        "algorithm": {"enum": list(settings.ALGORITHMS)},
        "kpi": {"anyOf": [{"type": ["string", "null"]}, _object(_kpi())]},
        "max_trials": {"type": "integer", "minimum": 1},
        "initial_random": {"type": "integer", "minimum": 0},
        "max_parallel": most,
        "max_epochs": most,
        "max_time": _DURATION,
        "total_time": _DURATION,
        "seed": {"type": ["integer", "null"], "minimum": 0},
        "agents": _NAMES,
        "on_failure": _optional(_object({"retry": {"type": "integer", "minimum": 0}, "stop_after": most})),
        "pruning": {
            "anyOf": [{"enum": [*settings.PRUNING, None]}, _object(_pruning(), minProperties=1, maxProperties=1)]
        },
        "duplicates": {"enum": [*settings.DUPLICATES, None]},
        "grace": _DURATION,
        "term": _DURATION,
        "follow_branch": _BOOLEAN,
        "space": {"type": "object", "minProperties": 1, "additionalProperties": _expression()},
    }


def _pruning() -> Schema:
    return {
        rule: _optional(_object({key: {"type": "integer", "minimum": least} for key, (_, least) in numbers.items()}))
        for rule, numbers in settings.PRUNING.items()
    }


def _kpi() -> Schema:
    return {
        "channel": {"type": ["string", "null"]},
        "direction": {"enum": ["maximize", "minimize", None]},
        "reduce": {"type": "string", "pattern": "^(last|best|mean\\( *[0-9]+ *\\))$"},
    }


def _expression() -> Schema:
    names = "|".join(SIGNATURES)
    return {
        "anyOf": [
            {"type": "string", "pattern": "^\\s*(" + names + ")\\s*(\\([\\s\\S]*\\))?\\s*$"},
            _object({name: {} for name in SIGNATURES}, minProperties=1, maxProperties=1),
        ]
    }


def _group_in_short() -> Schema:
    return {"allOf": [{"$ref": "#/$defs/hyperparameters"}, {"type": "object", "properties": {"type": False}}]}


def _long_form(kind: str) -> Schema:
    keys: Schema = {"type": {"const": kind}, "description": _TEXT, "default": _SCALAR}
    children: Schema = {"$ref": "#/$defs/hyperparameters"}
    if kind == "number":
        keys["integer"] = _BOOLEAN
    elif kind == "group":
        keys.update({"optional": _BOOLEAN, "children": children})
    elif kind == "choice_group":
        keys["choices"] = {"type": "object", "minProperties": 1, "additionalProperties": children}
    elif kind.startswith("choice_"):
        item = _TEXT if kind == "choice_string" else _NUMBER
        keys["choices"] = {"type": "array", "minItems": 1, "items": item, "uniqueItems": True}
    required = {"group": ["type"], "string": ["type", "default"], "number": ["type", "default"]}
    required["boolean"] = required["string"]
    return _object(keys, required=required.get(kind, ["type", "choices"]))
