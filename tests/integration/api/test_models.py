"""Models over HTTP: listed, shown, written by hand with the words of the file."""

from __future__ import annotations

from typing import Any

from tests.integration.api.running import Running

DEFINITION: dict[str, Any] = {
    "model": "me/form",
    "command": "python train.py",
    "hyperparameters": {"lr": 0.1},
    "optimization": {"space": {"lr": "loguniform(0.001, 1)"}},
}


def test_a_definition_becomes_a_model_whose_revisions_are_numbered(api: Running) -> None:
    made = api.call("POST", "/api/v1/models", json={"definition": DEFINITION})
    assert made.status_code == 201
    assert (made.json()["id"], made.json()["revision"]) == ("me/form", 1)
    again = api.call("POST", "/api/v1/models", json={"definition": {**DEFINITION, "priority": 3}}).json()
    assert [one["number"] for one in again["revisions"]] == [2, 1]
    assert api.call("GET", "/api/v1/models/me/form/revisions/1").json()["definition"] == DEFINITION
    assert "priority: 3" in again["newest"]["text"]
    assert "me/form" in [row["id"] for row in api.call("GET", "/api/v1/models").json()["rows"]]
    assert api.call("GET", "/api/v1/models/me/nothing").status_code == 404
    assert api.call("GET", "/api/v1/models/me/form/revisions/9").json()["detail"] == "model me/form has no revision 9."


def test_a_definition_is_checked_while_it_is_written_as_data_and_as_text(api: Running) -> None:
    good = api.call("POST", "/api/v1/definition", json={"definition": DEFINITION}).json()
    assert good["error"] is None
    back = api.call("POST", "/api/v1/definition", json={"text": good["text"]}).json()
    assert (back["definition"], back["error"]) == (DEFINITION, None)

    spelled = {"x": {"type": "number", "integer": False, "default": 0}, "g": {"y": {"type": "number", "default": 0}}}
    decimal = api.call("POST", "/api/v1/definition", json={"definition": {**DEFINITION, "hyperparameters": spelled}})
    assert "x: 0.0" in decimal.json()["text"]
    assert "y: {type: number, default: 0}" in decimal.json()["text"]

    wrong = {**DEFINITION, "optimization": {"space": {"lr": "loguniform(0, 1)"}}}
    told = api.call("POST", "/api/v1/definition", json={"definition": wrong}).json()
    assert told["definition"] == wrong
    assert told["error"]["at"] == ["optimization", "space", "lr"]
    as_text = api.call("POST", "/api/v1/definition", json={"text": told["text"]}).json()
    assert as_text["error"]["what"] == told["error"]["what"]
    assert "loguniform(0, 1)" in told["text"].splitlines()[as_text["error"]["line"] - 1]

    broken = api.call("POST", "/api/v1/definition", json={"text": "model: [me"}).json()
    assert broken["definition"] is None
    assert broken["error"]["what"].startswith("this is not YAML")


def test_the_table_comes_as_a_file(api: Running) -> None:
    reply = api.call("GET", "/api/v1/table/export", params={"columns": '["number","kpi"]', "where": '[["kpi",">",0]]'})
    assert reply.headers["content-type"].startswith("text/csv")
    assert reply.text == "number,kpi\r\n"
    for params in ({"where": "{"}, {"where": "{}"}, {"columns": "[1]"}, {"sort": "[{}]"}):
        assert api.call("GET", "/api/v1/table", params=params).status_code == 400
