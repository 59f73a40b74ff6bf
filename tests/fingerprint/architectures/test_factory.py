from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from cli.errors import ExitCode, exit_code
from fingerprint.architectures.architecture import key_difference, parse_architecture
from fingerprint.architectures.factory import build_with_factory
from fingerprint.errors import UsageError
from tests.fingerprint.network.networks import HERE, small


def build(text: str, num_classes: int = 5) -> nn.Module:
    state = small(num_classes).state_dict()
    return build_with_factory(parse_architecture(text), state)


def classes(module: nn.Module) -> int:
    assert isinstance(module, nn.Sequential)
    return int(module[-1].out_features)


@pytest.mark.parametrize("name", ["small", "without_default"])
@pytest.mark.parametrize("count", [2, 5, 9])
def test_the_class_count_comes_from_the_weights(name: str, count: int) -> None:
    assert classes(build(f"{HERE}:{name}", count)) == count


def passes_on(**options: Any) -> nn.Module:
    return small(**options)


def passes_on_nothing(**options: Any) -> nn.Module:
    if options:
        raise TypeError("no options are known")
    return small()


def other_word(n_classes: int = 5) -> nn.Module:
    return small(n_classes)


@pytest.mark.parametrize(
    ("name", "count", "built"),
    [("passes_on", 9, 9), ("passes_on_nothing", 9, 5), ("other_word", 3, 3)],
)
def test_the_class_count_reaches_factories_that_call_it_otherwise_or_pass_it_on(
    name: str, count: int, built: int
) -> None:
    assert classes(build(f"{__name__}:{name}", count)) == built


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1"])
def test_torchvisions_factories_find_the_class_count(name: str) -> None:
    networks = pytest.importorskip("torchvision.models")
    state = getattr(networks, name)(num_classes=7).state_dict()
    module = build_with_factory(parse_architecture(f"torchvision.models:{name}"), state)
    assert not key_difference(module, state)


def test_a_stated_class_count_is_kept() -> None:
    assert classes(build(f"{HERE}:small,num_classes=3", 9)) == 3


def test_a_factory_without_parameters_is_called_as_it_is() -> None:
    assert classes(build(f"{HERE}:fixed", 9)) == 5


def test_a_module_of_the_working_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets_in_cwd.py").write_text(
        "from torch import nn\ndef tiny():\n    return nn.Linear(2, 3)\n"
    )
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    assert isinstance(build("nets_in_cwd:tiny"), nn.Linear)
    assert sys.path == path


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no_such_package.x:f", "cannot import"),
        (f"{HERE}:nothing", "no factory 'nothing'"),
        (f"{HERE}:HERE", "no factory 'HERE'"),
        (f"{HERE}:fails", "no such luck"),
        (f"{HERE}:no_module", "expected a torch module, got int"),
        (f"{HERE}:small,width=3", "width"),
    ],
)
def test_a_factory_that_does_not_work_is_a_usage_error(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        build(text)


@pytest.mark.parametrize(
    "line",
    ["sys.exit(0)", "sys.exit()", "sys.exit(1)", "sys.exit('no')", "def tiny():\n    sys.exit(0)"],
)
def test_code_that_exits_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """Its exit code would look like a verdict that passed, or a policy that failed."""
    (tmp_path / "nets_that_exit.py").write_text(f"import sys\n{line}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "nets_that_exit", raising=False)
    with pytest.raises(UsageError, match="got one that exits"):
        build("nets_that_exit:tiny")


def test_an_exit_that_tells_of_a_signal_stays_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets_terminated.py").write_text("raise SystemExit(143)\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="143"):
        build("nets_terminated:tiny")


def test_layers_of_unknown_sizes_are_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets_lazy.py").write_text(
        "from torch import nn\ndef tiny(): return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="lazy ones; run the network on one input"):
        build("nets_lazy:tiny")


def takes_too_much() -> nn.Module:
    raise MemoryError


def allocates_too_much() -> nn.Module:
    # As torch's allocator says it on a CPU, in an error of no kind of its own.
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")


@pytest.mark.parametrize("name", ["takes_too_much", "allocates_too_much"])
def test_no_memory_is_a_limit_of_the_machine_and_no_mistake_in_the_option(name: str) -> None:
    with pytest.raises(MemoryError, match=name) as caught:
        build(f"{__name__}:{name}")
    assert exit_code(caught.value) is ExitCode.ENVIRONMENT
