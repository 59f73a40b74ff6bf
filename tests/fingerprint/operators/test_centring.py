"""A network that begins with layer normalisation is blind to the mean of each token."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fingerprint.network.loading import load_model
from fingerprint.operators import first_affine_segment
from fingerprint.operators.centring import centring
from fingerprint.probes.harmless_spaces import find_spaces
from fingerprint.solvers import linear_space
from fingerprint.spaces import null_space

TOKENS, WIDTH = 5, 8
SHAPE = (TOKENS, WIDTH)


class Normalised(nn.Module):
    """Positions, layer normalisation, and something nonlinear, as BERT begins.

    Args:
        beside: Whether the embeddings are also passed on beside the normalisation, as GPT-2
            passes them on.
    """

    def __init__(self, *, beside: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.beside = beside
        self.position = nn.Parameter(torch.randn(TOKENS, WIDTH))
        self.norm = nn.LayerNorm(WIDTH)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)
        self.head = nn.Linear(TOKENS * WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.position
        answer = torch.tanh(self.norm(x))
        return self.head((x.abs() + answer if self.beside else answer).flatten(1))


def test_the_constant_direction_of_each_token_is_harmless_and_no_other() -> None:
    network = Normalised().double().eval()
    segment = first_affine_segment(network, SHAPE)
    space = null_space(segment.operator)
    assert segment.centred
    assert not segment.identity
    assert space.dimension == TOKENS
    generator = torch.Generator().manual_seed(1)
    x, noise = torch.randn((2, *SHAPE), generator=generator, dtype=torch.float64)
    # Counted by hand: the projection on constants is the mean of each token.
    expected = noise.mean(dim=1, keepdim=True).expand(SHAPE)
    torch.testing.assert_close(space.project(noise), expected)
    with torch.no_grad():
        before, after = network(torch.stack([x, x + 100.0 * expected]))
        moved = network((x + noise - expected)[None])[0]
    torch.testing.assert_close(after, before, rtol=1e-10, atol=1e-10)
    assert (moved - before).norm() > 0.1


def test_the_layer_of_a_normalisation_over_several_axes_has_one_mean() -> None:
    def network(x: Tensor) -> Tensor:
        return torch.tanh(functional.layer_norm(x, SHAPE)).flatten(1)

    space = null_space(first_affine_segment(network, SHAPE).operator)
    assert space.dimension == 1


def test_embeddings_passed_on_beside_the_normalisation_are_read_whole() -> None:
    segment = first_affine_segment(Normalised(beside=True).eval(), SHAPE)
    assert segment.identity
    assert not segment.centred


def test_a_normalisation_that_tells_its_mean_reads_it() -> None:
    def network(x: Tensor) -> Tensor:
        answer, mean, _ = torch.native_layer_norm(x, [WIDTH], None, None, 1e-5)
        return torch.cat([answer.flatten(1), mean.flatten(1)], dim=1)

    segment = first_affine_segment(network, SHAPE)
    assert segment.identity
    assert not segment.centred


def test_normalisations_of_two_widths_leave_nothing_unread_that_one_of_them_reads() -> None:
    def network(x: Tensor) -> Tensor:
        by_token = functional.layer_norm(x, [WIDTH])
        return torch.tanh(by_token + functional.layer_norm(x, SHAPE)).flatten(1)

    segment = first_affine_segment(network, SHAPE)
    assert segment.identity
    assert not segment.centred


def test_no_probe_is_drawn_from_what_every_such_network_ignores() -> None:
    model = load_model(Normalised(), input_size=SHAPE, bounds=(-1.0, 1.0))
    found = find_spaces(model)
    assert linear_space(model).is_usable
    assert found.space is None
    assert found.operator is None
    assert found.facts[0].dimension == TOKENS


def test_the_centring_of_trailing_axes_is_numpys_projection() -> None:
    operator = centring((2, 3, 4), 12, device=torch.device("cpu"))
    x = torch.arange(24, dtype=torch.float64).reshape(2, 3, 4) ** 2
    expected = x - x.reshape(2, -1).mean(dim=1).reshape(2, 1, 1)
    torch.testing.assert_close(operator.matvec(x), expected)
    torch.testing.assert_close(operator.rmatvec(x), expected)
