"""Records changed in a clone, as somebody with a hand in it might."""

from __future__ import annotations

import re
from pathlib import Path

from bough import _git


def refs(repository: Path, prefix: str) -> list[str]:
    out = _git.run(["for-each-ref", "--format=%(refname)", prefix], git_dir=str(repository)).decode()
    return out.splitlines()


def tamper(mirror: Path, ref: str, how: str) -> str:
    """Change a record in a clone; return what is to be said of it."""
    old = _git.run(["rev-parse", ref], git_dir=str(mirror)).decode().strip()
    when = _git.run(["show", "-s", "--format=%ct", ref], git_dir=str(mirror)).decode().strip()
    parent = _git.run(["rev-parse", f"{ref}^"], git_dir=str(mirror)).decode().strip()
    job = _git.run(["cat-file", "blob", f"{ref}:.bough/job.json"], git_dir=str(mirror))
    head = f"commit {ref}\ncommitter bough <bough@coordinator> {when} +0000\ndata 1\nx\nfrom {parent}\n".encode()
    own = b"M 040000 %s .bough\n" % _tree(mirror, ref)
    nonce = b'{"recorded": {"nonce": "x"},' + job[1:]
    better = re.sub(rb'"kpi": [-0-9.e]+', b'"kpi": 0.999', job)
    twice = b'{"kind": "section", "name": "about", "at": 1, "value": {}}\n' * 2
    change, said = {
        "newer": (own + _file(".bough/job.json", b'{"format": 99}'), "has format 99, which is newer than this version"),
        "empty": (_file("README", b"x"), "lacks job.json, or it is too large."),
        "other code": (own + _file("train.py", b"secret"), "holds other code than commit"),
        "same row": (own + _file(".bough/tables/documents.jsonl", twice), "has the same row of documents twice."),
        "nonce": (own + _file(".bough/job.json", nonce), "says nonce 'x', which is"),
        "better kpi": (own + _file(".bough/job.json", better), "says KPI 0.999, but its points give "),
    }[how]
    _git.run(["update-ref", "-d", ref, old], git_dir=str(mirror))
    _git.run(["fast-import", "--quiet", "--done"], git_dir=str(mirror), input=head + change + b"\ndone\n")
    return said


def _file(path: str, content: bytes) -> bytes:
    return b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(content), content)


def _tree(mirror: Path, ref: str) -> bytes:
    """Return the id of the record's own folder; the commit that is cut loose keeps it."""
    return _git.run(["rev-parse", f"{ref}:.bough"], git_dir=str(mirror)).strip()
