"""Keys are made once, readable by their owner, and read back only as what they are."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import ec

from fingerprint.attestation.keys import (
    is_encrypted,
    key_id,
    make_key,
    private_key,
    public_key,
    public_path,
)
from fingerprint.errors import EnvironmentFailure, InputRefused, MalformedFile, UsageError


@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_key_pair_is_read_back(tmp_path: Path, passphrase: bytes | None) -> None:
    path = tmp_path / "audit.key"
    made = make_key(path, passphrase)
    assert is_encrypted(path) is (passphrase is not None)
    assert key_id(public_key(public_path(path))) == made
    assert key_id(private_key(path, passphrase).public_key()) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {file.name for file in tmp_path.iterdir()} == {"audit.key", "audit.key.pub"}


@pytest.mark.parametrize("there", ["audit.key", "audit.key.pub"])
def test_what_is_there_is_never_overwritten_and_nothing_is_left(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(UsageError, match=r"is there already, and keys are not overwritten"):
        make_key(tmp_path / "audit.key", None)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(there, "mine")]


def test_a_folder_that_is_not_there_is_an_error_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailure, match="No such file"):
        make_key(tmp_path / "no" / "audit.key", None)


@pytest.mark.parametrize("passphrase", [b"wrong", b""])
def test_another_passphrase_opens_nothing(tmp_path: Path, passphrase: bytes) -> None:
    make_key(tmp_path / "audit.key", b"right")
    with pytest.raises(InputRefused, match="cannot be opened with this passphrase"):
        private_key(tmp_path / "audit.key", passphrase)


def test_only_ed25519_keys_as_pem_are_taken(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    pem = other.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    make_key(tmp_path / "audit.key", None)
    for name, data in (
        ("of another kind", pem),
        ("text", b"-----BEGIN PRIVATE KEY-----\nhello\n-----END PRIVATE KEY-----\n"),
        ("public", (tmp_path / "audit.key.pub").read_bytes()),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MalformedFile, match="expected an Ed25519 private key"):
            private_key(tmp_path / name, None)
    with pytest.raises(MalformedFile, match="expected an Ed25519 public key"):
        public_key(tmp_path / "audit.key")
    with pytest.raises(UsageError, match="no such file"):
        public_key(tmp_path / "nowhere")


def test_without_the_library_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(EnvironmentFailure, match=r"pip install 'nullprint\[attest\]'"):
        make_key(tmp_path / "audit.key", None)
    assert os.listdir(tmp_path) == []
