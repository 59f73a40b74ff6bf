"""Depths: places that all of a network's answers pass, and maps that run nothing behind them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fingerprint.errors import IncompatibleModel, NoInformation
from fingerprint.network.depths import Depth, Place, depths_of
from fingerprint.network.features import penultimate
from fingerprint.network.loading import load_model
from fingerprint.network.model import Model

SIZE = (1, 8, 8)
CLASSES = 5


class Block(nn.Module):
    """Passes what it reads by its convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.conv2(torch.relu(self.conv1(x))))


def residual() -> nn.Sequential:
    blocks = nn.Sequential(Block(), Block())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES))
    stem = nn.Conv2d(1, 4, 3, padding=1)
    return nn.Sequential(stem, nn.ReLU(inplace=True), blocks, head)


def chain(length: int = 60) -> nn.Sequential:
    layers = [part for _ in range(length) for part in (nn.Linear(64, 64), nn.Tanh())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, CLASSES))


def loaded(module: nn.Module, seed: int = 0, **options: Any) -> Model:
    """Returns a module with random weights of unit gain as a model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in module.parameters():
            gain = weights[0].numel() ** -0.5 if weights.ndim > 1 else 0.1
            weights.copy_(gain * torch.randn(weights.shape, generator=generator))
    return load_model(module, input_size=SIZE, **options)


def images(count: int = 3) -> Tensor:
    return torch.rand(count, *SIZE, generator=torch.Generator().manual_seed(1))


def names(model: Model) -> list[str]:
    return [depth.name for depth in depths_of(model)]


def named(model: Model, name: str) -> Depth:
    (depth,) = [depth for depth in depths_of(model) if depth.name == name]
    return depth


def hooks_of(model: Model) -> list[Any]:
    parts = model.module.modules()
    return [hook for part in parts for hook in (*part._forward_hooks, *part._forward_pre_hooks)]


# ---- which places are depths ----


def test_blocks_are_depths_and_what_a_shortcut_passes_by_is_none() -> None:
    # "2" is what its last block "2.1" gives, "3.1" what the head reads.
    assert names(loaded(residual())) == ["1", "2.0", "2", "features", "logits"]


def test_each_map_gives_what_the_network_computes_there() -> None:
    model, x = loaded(residual()), images()
    stem = torch.relu(model.module[0](x))
    first = model.module[2][0](stem)
    last = model.module[2][1](first)
    wanted = [stem, first, last, last.mean(dim=(2, 3)), model(x)]
    for depth, value in zip(depths_of(model), wanted, strict=True):
        assert depth(x).shape == (3, depth.width)
        torch.testing.assert_close(depth(x), value.flatten(1))


def test_share_is_the_work_up_to_there() -> None:
    conv, inner = 2 * 4 * 64 * 9, 2 * 4 * 4 * 64 * 9
    total = conv + 4 * inner + 2 * 4 * CLASSES
    done = [conv, conv + 2 * inner, conv + 4 * inner, conv + 4 * inner, total]
    shares = [depth.share for depth in depths_of(loaded(residual()))]
    assert shares == pytest.approx([part / total for part in done], rel=1e-12)


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.turn, self.head = nn.Linear(8, 16), nn.Linear(64, CLASSES)
        self.recurrent = nn.LSTM(16, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.turn(x[:, 0])
        mixed = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        answers: Tensor = self.head(self.recurrent(mixed)[0].flatten(1))
        return answers


def test_attention_and_recurrent_layers_count_as_the_products_they_are() -> None:
    turn, attention, recurrent = 2 * 8 * 8 * 16, 2 * 2 * 8 * 8 * 16, 2 * 8 * (16 + 8) * 32
    total = turn + attention + recurrent + 2 * 64 * CLASSES
    assert [(depth.name, depth.share) for depth in depths_of(loaded(Attends()))] == [
        ("turn", pytest.approx(turn / total)),
        ("features", pytest.approx((turn + attention + recurrent) / total)),
        ("logits", 1.0),
    ]


class Twice(nn.Module):
    """Calls a layer twice, answers with a dict, and has a layer with a depth's name."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = nn.Sequential(nn.Flatten(), nn.Linear(64, 40)), nn.Linear(8, 5)
        self.narrow, self.mix = nn.Linear(40, 20), nn.Linear(20, 20)
        self.last = nn.Linear(20, 8)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = torch.tanh(self.narrow(self.features(x)))
        hidden = torch.tanh(self.mix(torch.tanh(self.mix(hidden))))
        return {"hidden": hidden, "logits": self.head(torch.tanh(self.last(hidden)))}


def test_a_module_that_is_called_twice_is_two_depths() -> None:
    model, x = loaded(Twice(), output="logits"), images()
    # "last" has what the last linear layer reads but for its activation.
    assert names(model) == ["features#1", "narrow", "mix", "mix#2", "features", "logits"]
    hidden = torch.tanh(model.module.narrow(model.module.features(x)))
    once = model.module.mix(hidden)
    torch.testing.assert_close(named(model, "mix")(x), once)
    torch.testing.assert_close(named(model, "mix#2")(x), model.module.mix(torch.tanh(once)))


def test_the_features_are_what_the_last_linear_layer_reads() -> None:
    model, x = loaded(Twice(), output="logits"), images()
    known = penultimate(model)
    assert known is not None
    torch.testing.assert_close(named(model, "features")(x), known(x))


class Wide(nn.Module):
    """A deep branch and a weak, wide one beside it, up to the answers."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.beside = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        answers: Tensor = self.weight * self.beside(x) + self.net(x)
        return answers


def test_features_that_another_branch_passes_by_are_no_depth() -> None:
    model = loaded(Wide())
    assert penultimate(model) is not None
    assert names(model) == ["logits"]


def test_a_branch_that_weighs_less_than_half_precision_shows_is_seen() -> None:
    exact = loaded(Wide(weight=1e-3))
    model = exact.to(dtype=torch.bfloat16)
    assert names(exact) == names(model) == ["logits"]


def test_depths_in_half_precision_are_in_half_precision() -> None:
    model = loaded(residual()).to(dtype=torch.bfloat16)
    found = depths_of(model)
    assert len(found) == 5
    assert {depth(images().bfloat16()).dtype for depth in found} == {torch.bfloat16}


def test_the_answers_are_logits() -> None:
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, CLASSES))
    model, x = loaded(nn.Sequential(body, nn.Softmax(dim=1))), images()
    torch.testing.assert_close(named(model, "logits")(x), body(x).log_softmax(dim=1))


def test_one_answer_is_two_classes() -> None:
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 1))
    model = loaded(body)
    assert [(depth.name, depth.width) for depth in depths_of(model)] == [
        ("features", 8),
        ("logits", 2),
    ]
    assert named(model, "logits")(images()).shape == (3, 2)


def test_what_only_moves_or_scales_the_input_is_no_depth() -> None:
    first = nn.Sequential(nn.PixelUnshuffle(2), nn.Identity(), nn.BatchNorm2d(4), nn.Flatten())
    assert names(loaded(nn.Sequential(first, nn.Linear(64, CLASSES)))) == ["logits"]


def passes_of(model: Model) -> int:
    ran: list[str] = []
    hook = model.module.register_forward_pre_hook(lambda *_: ran.append("pass"))
    depths_of(model)
    hook.remove()
    return len(ran)


def test_many_layers_are_few_depths_far_apart() -> None:
    model = loaded(chain())
    shares = [0.0, *(depth.share for depth in depths_of(model))]
    assert len(shares) == 17
    assert max(after - before for before, after in pairwise(shares)) < 1 / 6
    assert passes_of(model) <= 48


def test_many_layers_that_are_no_cuts_cost_few_passes() -> None:
    module = Wide()
    module.net = chain()
    model = loaded(module)
    assert names(model) == ["logits"]
    assert passes_of(model) <= 48


# ---- networks that cannot be watched ----


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Parameter(torch.empty(16, 8))
        self.last = nn.Parameter(torch.empty(CLASSES, 16))

    def forward(self, x: Tensor) -> Tensor:
        tokens = x[:, 0] @ self.inner.T
        mixed = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        return torch.relu(tokens + mixed).mean(dim=1) @ self.last.T


class Minds(nn.Module):
    """Looks whether somebody watches its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        if self.net[1]._forward_hooks:
            raise RuntimeError("no hooks here")
        answers: Tensor = self.net(x)
        return answers


class AtRandom(Minds):
    def forward(self, x: Tensor) -> Tensor:
        answers: Tensor = self.net(x + torch.rand_like(x))
        return answers


class Constant(Minds):
    def forward(self, x: Tensor) -> Tensor:
        answers: Tensor = self.net(x * 1e-9)
        return answers


class Detached(Minds):
    def forward(self, x: Tensor) -> Tensor:
        answers: Tensor = self.net(x.detach())
        return answers


@pytest.mark.parametrize("kind", [Functional, Minds, AtRandom, Constant, Detached])
def test_a_network_that_cannot_be_watched_or_told_apart_has_its_answers(
    kind: type[nn.Module],
) -> None:
    model = loaded(kind())
    assert names(model) == ["logits"]
    assert not hooks_of(model)


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
@pytest.mark.parametrize("scripting", [torch.jit.script, torch.jit.trace], ids=["script", "trace"])
def test_a_scripted_network_has_its_answers(scripting: Any) -> None:
    model = loaded(residual())
    given = (images(2),) if scripting is torch.jit.trace else ()
    scripted = replace(model, module=scripting(model.module, *given))
    assert names(scripted) == ["logits"]
    torch.testing.assert_close(named(scripted, "logits")(images()), model(images()))


def test_a_lazy_network_has_depths_once_it_ran() -> None:
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.Tanh(), nn.Linear(8, CLASSES))
    model = replace(loaded(chain(1)), module=lazy.eval())
    assert names(model)[-1] == "logits"


# ---- the maps ----


def watched(model: Model) -> list[str]:
    """Returns a list that every forward pass of a layer adds its name to."""
    ran: list[str] = []
    for name, part in model.module.named_modules():

        def forward(*args: Any, name: str = name, own: Any = part.forward) -> Any:
            ran.append(name)
            return own(*args)

        part.forward = forward
    return ran


def test_nothing_behind_a_depth_runs() -> None:
    model = loaded(residual())
    found, x = depths_of(model), images()
    ran = watched(model)
    runs = {}
    for depth in found:
        ran.clear()
        depth(x)
        runs[depth.name] = ran[-1]
    # The last one to begin is the depth's own, or what the features' layer reads from.
    assert runs == {
        "1": "1",
        "2.0": "2.0.conv2",
        "2": "2.1.conv2",
        "features": "3.1",
        "logits": "3.2",
    }


class Catches(Minds):
    """Answers zeros when something fails."""

    def forward(self, x: Tensor) -> Tensor:
        try:
            answers: Tensor = self.net(x)
        except Exception:
            return x.new_zeros(len(x), CLASSES)
        return answers


def test_a_networks_own_handlers_do_not_catch_the_end_of_a_pass() -> None:
    model, x = loaded(Catches()), images()
    torch.testing.assert_close(
        named(model, "features")(x), torch.tanh(model.module.net[1](x.flatten(1)))
    )


class Translates(Catches):
    """Passes on whatever ends it, the end of a pass as well, as an error of its own."""

    def forward(self, x: Tensor) -> Tensor:
        try:
            answers: Tensor = self.net(x)
        except BaseException as error:
            raise ValueError("it broke") from error
        return answers


def test_an_end_that_a_network_takes_for_a_failure_is_one_all_the_same() -> None:
    model, x = loaded(Translates()), images()
    torch.testing.assert_close(
        named(model, "features")(x), torch.tanh(model.module.net[1](x.flatten(1)))
    )


def test_gradients_reach_the_input_and_nothing_is_left_behind() -> None:
    model = loaded(residual()).to(dtype=torch.float64)
    before = torch.get_rng_state()
    found = depths_of(model)
    for depth in found:
        x = images().double().requires_grad_()
        (gradient,) = torch.autograd.grad(depth(x).sum(), x)
        assert bool((gradient != 0).any())
        assert depth(x).dtype == torch.float64
    assert torch.equal(torch.get_rng_state(), before)
    assert not hooks_of(model)
    assert not any(part.training for part in model.module.modules())
    assert not any(weights.requires_grad for weights in model.module.parameters())


def test_they_are_found_where_gradients_are_off_and_are_the_same_each_time() -> None:
    model = loaded(residual())
    first = [(d.name, d.width, d.share) for d in depths_of(model)]
    with torch.no_grad():
        assert [(d.name, d.width, d.share) for d in depths_of(model)] == first


def test_the_same_place_in_another_model() -> None:
    model, other, x = loaded(residual()), loaded(residual(), seed=1), images()
    for depth, there in zip(depths_of(model), depths_of(other), strict=True):
        assert torch.equal(depth.of(other)(x), there(x))
        assert not torch.equal(depth(x), there(x))


def test_another_models_answers_may_be_to_other_classes() -> None:
    model, module = loaded(residual()), residual()
    module[3][2] = nn.Linear(4, 3)
    other = loaded(module)
    assert [depth.of(other)(images()).shape[1] for depth in depths_of(model)] == [
        *(256, 256, 256, 4),
        3,
    ]


def test_another_model_without_the_place_is_refused() -> None:
    depth = named(loaded(residual()), "2.0")
    with pytest.raises(IncompatibleModel, match=r"with a layer '2\.0'"):
        depth.of(loaded(chain(1)))


class Exits(nn.Module):
    """Bright inputs leave by another head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh())
        self.head, self.other = nn.Linear(8, CLASSES), nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        if float(x.detach().mean()) > 0.9:
            answers: Tensor = self.other(x.flatten(1))
            return answers
        answers = self.head(self.body(x))
        return answers


def test_inputs_that_do_not_come_by_are_no_information() -> None:
    features = named(loaded(Exits()), "features")
    assert features(images()).shape == (3, 8)
    with pytest.raises(NoInformation, match="one row for each input"):
        features(torch.ones(2, *SIZE))


def test_rows_of_another_width_are_no_information() -> None:
    module = chain(1)
    module[1], module[3] = nn.Linear(64, 32), nn.Linear(32, CLASSES)
    features = named(loaded(chain(1)), "features")
    with pytest.raises(NoInformation, match="expected 64 numbers for each input, got 32"):
        features.of(loaded(module))(images())


def test_earlier_depths_are_seen_on_the_way() -> None:
    model = loaded(residual())
    depths = depths_of(model)
    x = images()
    together = depths[-2].with_earlier(x, depths[:2])
    assert len(depths) > 3
    for depth, rows in zip((*depths[:2], depths[-2]), together, strict=True):
        assert torch.equal(rows, depth(x))


def test_what_a_later_layer_writes_over_is_seen_as_it_was() -> None:
    module = residual()
    model = loaded(module)
    last = depths_of(model)[-2]
    x = images()
    with torch.no_grad():
        given = module[0](x)
    # The next layer is a ReLU in place, which sets a part of this to zero.
    stem = Depth("0", given[0].numel(), 0.1, model, Place("0"))
    assert float(given.min()) < 0
    assert torch.equal(last.with_earlier(x, (stem,))[0], given.flatten(1))


def test_an_earlier_depth_that_no_pass_comes_by_is_an_error() -> None:
    model = loaded(residual())
    first, last = depths_of(model)[0], depths_of(model)[-2]
    unseen = replace(first, place=Place("0", call=2))
    with pytest.raises(NoInformation, match="got none"):
        last.with_earlier(images(), (unseen,))
