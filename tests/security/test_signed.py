"""Signed jobs (S12): an agent that knows who may sign runs nothing that its coordinator, or a thief, made up."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bough import _signing
from bough.errors import UsageError

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen on this machine")
CODE: dict[str, Any] = {
    "model": "me/digits", "commit": "3f9a12c0" * 5, "folder": "a", "commands": [("1", ["python", "train.py"])],
    "env": {"A": "1"}, "working_dir": None, "needs": {"data": ["mnist"]}, "output": ["*.pt"],
}  # fmt: skip
TAMPERED: list[dict[str, Any]] = [
    {"model": "me/other"},
    {"commit": "0f9a12c0" * 5},
    {"folder": "b"},
    {"commands": [("1", ["python", "train.py", "--steal"])]},
    {"commands": [("1", ["python", "train.py"]), ("2", ["sh", "more.sh"])]},
    {"commands": [("1", ["python train.py"])]},
    {"env": {"A": "1", "LD_PRELOAD": "x.so"}},
    {"env": {}},
    {"working_dir": "deeper"},
    {"needs": {"data": ["mnist"], "setup": {"commands": [["sh", "evil.sh"]]}}},
    {"needs": {"data": ["mnist"], "on_end": ["sh", "evil.sh"]}},
    {"output": ["*.pt", "*"]},
]


@dataclass(frozen=True)
class Signer:
    """Somebody with a pair of keys."""

    path: Path

    @property
    def public(self) -> str:
        (key,) = _signing.read_keys(f"{self.path}.pub")
        return key

    def sign(self, code: dict[str, Any]) -> str:
        return _signing.sign(str(self.path), code)


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Signer, Signer]:
    folder = tmp_path_factory.mktemp("keys")
    found = Signer(folder / "anna"), Signer(folder / "ben")
    for one in found:
        _signing.make_key(str(one.path))
        assert one.path.stat().st_mode & 0o777 == 0o600
    return found


def code(**changes: Any) -> dict[str, Any]:
    return _signing.code_of(**{**CODE, **changes})


@pytest.mark.parametrize("changes", TAMPERED, ids=[str(number) for number in range(len(TAMPERED))])
def test_whatever_is_changed_the_signature_does_not_fit(
    signers: tuple[Signer, Signer], changes: dict[str, Any]
) -> None:
    anna, ben = signers
    signature, known = anna.sign(code()), [ben.public, anna.public]

    assert _signing.is_signed(known, code(), signature)
    assert not _signing.is_signed(known, code(**changes), signature)


def test_a_signature_of_nobody_that_is_known_is_none(signers: tuple[Signer, Signer]) -> None:
    anna, ben = signers
    good = anna.sign(code())

    for signature in (None, "", "nonsense", good[:100], good.replace("BEGIN", "begin"), ben.sign(code()), good * 40):
        assert not _signing.is_signed([anna.public], code(), signature)
    assert not _signing.is_signed([], code(), good)


def test_the_same_code_written_otherwise_is_the_same(signers: tuple[Signer, Signer]) -> None:
    anna, _ = signers
    otherwise = code(folder="/a/", working_dir=".", commands=(("1", ("python", "train.py")),))

    assert _signing.is_signed([anna.public], otherwise, anna.sign(code()))


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (None, 0o600, "cannot be read: .*Check the path"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n", 0o600, "holds something else than public keys"),
        ("# nobody yet\n", 0o600, "holds something else than public keys, one in each line. Make one: bough key"),
        ("ssh-ed25519 AAAA anna\n", 0o666, "others can change .*chmod go-w"),
    ],
)
def test_a_list_of_signers_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, content: str | None, mode: int, said: str
) -> None:
    path = tmp_path / "signers"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)

    with pytest.raises(UsageError, match=said):
        _signing.read_keys(str(path))


def test_a_key_that_cannot_sign_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    path.write_text("no key")
    path.chmod(0o600)

    with pytest.raises(UsageError, match=r"cannot sign: .*remove it, then bough key signing"):
        _signing.sign(str(path), code())
    with pytest.raises(UsageError, match="cannot be made: "):
        _signing.make_key(str(tmp_path / "nowhere" / "key"))
