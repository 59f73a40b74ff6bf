r"""Evidence that answers have changed, which may be looked at as often as one likes.

Each answer to a question has a score: how far it lies from what was recorded first. Its rank among
all scores that this question had so far is a bet against "nothing has changed"; the capital that
the bets earn is the evidence.

**Promise.** Call it *unchanged* if the joint law of all answers stays the same whenever two answers
to one question, whatever runs they came in, change places (as it does where each answer is drawn
afresh from the law of this question's answers). Which questions are asked when, and which of them
get no answer, must not depend on what the answers would have been. Then

    P(the capital ever reaches 1 / alpha) <= alpha,

over all runs there will ever be, however often and whenever they are made.

**Proof.** Give each score a random number of its own, to put equal scores in an order. Given which
scores each question got, all orders of them are equally likely, and independent of those of other
questions, by what *unchanged* means. In a random order the rank of the i-th among the first i is
uniform on 1..i and independent of the ranks before it (Rényi 1962). So all ranks, of all
questions, are independent and uniform; they are the conformal p-values of Vovk, Nouretdinov and
Gammerman (2003), times i. A bet pays

    e(R) = i (F(R/i) - F((R-1)/i)),    F(p) = p^k,  0 < k < 1,

whose mean over R = 1..i is F(1) - F(0) = 1, or a fixed share of that, the rest being kept. Products
of such from any run on are nonnegative martingales of mean 1 in the ranks, and so is every mixture
of them with weights that were fixed beforehand: over k and shares, over the side (far or near; a
service that stops being noisy has changed too), and over the run at which a change may have
happened (Shin, Ramdas and Rinaldo, *E-detectors*, 2024, add up such processes; with weights of sum
1 they bound the probability of a false alarm ever, and not only its rate). By Ville's inequality
(1939) a nonnegative martingale that starts at 1 ever reaches 1 / alpha with probability alpha at
most. No random numbers are drawn here: equal
scores count as the worst of the ranks they may have. ``e`` falls with the rank, F being concave, so
every factor and with it the capital are at most what the random order gives, and what it reaches,
the martingale reaches. (The mean over orders, which looks fairer, is no martingale: ties that are
seen tell something of later ranks.)

References: Ville, *Étude critique de la notion de collectif*, 1939. Vovk, Nouretdinov, Gammerman,
*Testing exchangeability on-line*, ICML 2003. Volkhonskiy et al., *Inductive conformal martingales
for change-point detection*, COPA 2017. Vovk, *Testing randomness online*, Statistical Science 2021.
Shin, Ramdas, Rinaldo, *E-detectors: a nonparametric framework for sequential change detection*, New
England Journal of Statistics in Data Science 2024, arXiv 2203.03532.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BETS", "capital", "gains", "likeliest_start"]

_WAYS = ((0.1, 1.0), (0.3, 1.0), (0.6, 1.0), (0.1, 0.25))
"""Exponent of F, and share of the capital that is bet. A small exponent bets on extreme ranks, a
large one on ranks that are low a little too often; a small share bears that most answers stay as
they were, as labels do."""
BETS = 2 * len(_WAYS)
"""How many bets are made on each answer: each way on either side."""


def gains(score: ArrayLike, earlier: ArrayLike) -> NDArray[np.float64]:
    """Returns what each bet on one score pays, as natural logarithms, shape ``(..., BETS)``.

    Args:
        score: Of the new answer, shape ``(...)``.
        earlier: Of all answers to the same question before it, shape ``(..., n)``.
    """
    known, new = np.asarray(earlier, np.float64), np.asarray(score, np.float64)[..., None]
    count = known.shape[-1] + 1
    ranks = np.stack([1 + (known >= new).sum(-1), 1 + (known <= new).sum(-1)], axis=-1)[..., None]
    exponents, shares = np.array(_WAYS).T
    paid = count * ((ranks / count) ** exponents - ((ranks - 1) / count) ** exponents)
    logs: NDArray[np.float64] = np.log(1 - shares + shares * paid)
    return logs.reshape(*logs.shape[:-2], BETS)


def capital(runs: ArrayLike) -> float:
    """Returns the capital after some runs, as a natural logarithm; 0 after none.

    A share of the capital is set aside for each run at which a change may happen, and bet from it
    on: ``1 / (1 + ln k)`` is what is left for the k-th and later ones, so that the price of not
    knowing when grows only with the logarithm of the number of runs.

    Args:
        runs: Of each run with an answer, what each bet paid in it, shape ``(n, BETS)``: sums of
            :func:`gains`.
    """
    since = _since(runs)
    bet = float(np.logaddexp.reduce(since)) - math.log(BETS) if len(since) else -math.inf
    return float(np.logaddexp(bet, math.log(_left(len(since) + 1))))


def likeliest_start(runs: ArrayLike) -> int:
    """Returns the place of the run from which on bets earned most, its share considered."""
    return int(np.argmax(_since(runs)))


def _since(runs: ArrayLike) -> NDArray[np.float64]:
    """Returns what became of the share that is bet from each run on, the bets added up, as logs."""
    paid = np.asarray(runs, np.float64).reshape(-1, BETS)
    numbers = np.arange(1, len(paid) + 1)
    shares = _left(numbers) - _left(numbers + 1)
    earned = np.cumsum(paid[::-1], axis=0)[::-1]
    found: NDArray[np.float64] = np.logaddexp.reduce(earned, axis=1) + np.log(shares)
    return found


def _left(number: Any) -> Any:
    """What is not yet bet before a run; of an array, before each."""
    return 1 / (1 + np.log(number))
