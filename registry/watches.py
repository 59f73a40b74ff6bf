"""Watched targets in a registry: each beginning and each look is one transaction and one entry.

::

    registry.watches.add("prod", baseline, target={...}, settings=WatchSettings())
    watch = registry.watches.get("prod")
    run = registry.watches.record("prod", observation)

A look is judged inside the transaction that writes it, against all that were written before it: two
that are made at once are judged one after the other, and none is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from fingerprint.canonical import plain, sha256_of, utc_now
from fingerprint.errors import FingerprintError, UsageError
from registry import ledger
from registry.catalogue import Catalogue
from registry.errors import RegistryCorrupt, UnknownWatch, WatchTaken
from registry.ledger import Books
from registry.names import checked_name
from registry.tables import SettingRow, WatchBaselineRow, WatchRow, WatchRunRow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.network.spec import InputSpec
    from fingerprint.watching import Baseline, Observation, Recorded, Run

__all__ = ["Watch", "WatchSettings", "Watches"]

Scope = Callable[[], AbstractContextManager[Session]]
_MOST_QUESTIONS = 1000
# What a document that is not of ours can end in.
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, kw_only=True)
class WatchSettings:
    """How a target is watched.

    Attributes:
        model: Name of the registered model it is held against; None for what it answers first.
        questions: How many there are at most.
        ask: How many of them are asked in one run.
        repeats: How often each is asked at first where answers do not repeat.
        alpha: Probability of ever calling it changed while it has not.
        tolerance: Relative difference that is none; None for what was measured, or the least.

    Raises:
        UsageError: A number is impossible.
    """

    model: str | None = None
    questions: int = 48
    ask: int = 8
    repeats: int = 12
    alpha: float = 0.001
    tolerance: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.ask <= self.questions <= _MOST_QUESTIONS:
            raise UsageError(
                f"expected 1 to {_MOST_QUESTIONS} questions, and no more asked at a time than "
                f"there are, got {self.questions} and {self.ask}"
            )
        if not 0 < self.alpha < 1:
            raise UsageError(f"alpha: expected a level between 0 and 1, got {self.alpha}")

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values; the constructor takes them back."""
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True, eq=False)
class Watch:
    """A target that is watched, and every look at it.

    Attributes:
        name: What it is called.
        created: When its baseline was recorded, ISO 8601 in UTC.
        target: How it is reached, as whoever began it put it down.
        settings: How it is watched.
        runs: Every look, oldest first.
    """

    name: str
    created: str
    target: Mapping[str, Any]
    settings: WatchSettings
    runs: tuple[Run, ...]

    @property
    def changed(self) -> Run | None:
        """The run that found it changed; None where none did."""
        return next((run for run in self.runs if run.state == "changed"), None)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {
            "name": self.name,
            "created": self.created,
            "target": dict(self.target),
            "settings": self.settings.to_dict(),
            "runs": [run.to_dict() for run in self.runs],
        }


class Watches:
    """The watched targets of a registry.

    Args:
        reading: Opens a transaction that reads.
        writing: Opens one that writes.
        seed: The registry's.
        where: The registry, for messages.
    """

    def __init__(self, reading: Scope, writing: Scope, seed: str, where: str) -> None:
        self._reading, self._writing = reading, writing
        self._seed, self._where = seed, where

    def all(self) -> list[Watch]:
        """Returns every watch, in the order they were begun.

        Raises:
            RegistryCorrupt: A row is not what was written.
        """
        with self._reading() as session:
            books = Books(session, self._seed, self._where)
            return [_watch(books, row) for row in _settled(books, books.rows(WatchRow))]

    def get(self, name: str) -> Watch:
        """Returns one watch with its history.

        Raises:
            UnknownWatch: Nothing is watched by this name.
            RegistryCorrupt: A row is not what was written.
        """
        with self._reading() as session:
            books = Books(session, self._seed, self._where)
            return _watch(books, _row(books, name))

    def baseline(self, name: str) -> Baseline:
        """Returns what a target was asked and answered first; see :meth:`get`."""
        with self._reading() as session:
            books = Books(session, self._seed, self._where)
            return _baseline(books, _row(books, name))

    def choose(
        self, name: str, settings: WatchSettings, spec: InputSpec
    ) -> tuple[NDArray[Any], Recorded | None]:
        """Returns what a target would be asked, and what a registered model answers to that.

        Args:
            name: What it is going to be called.
            settings: How it is going to be watched.
            spec: What the target takes.

        Raises:
            WatchTaken: Something is watched by this name.
            UnknownModel: No such model is registered.
            IncompatibleModel: It takes other inputs.
        """
        from fingerprint.errors import IncompatibleModel
        from fingerprint.watching.choosing import questions_of_model, questions_of_panel

        with self._reading() as session:
            _check_free(session, checked_name(name))
            if settings.model is None:
                return questions_of_panel(spec, self._seed, settings.questions), None
            catalogue = Catalogue(Books(session, self._seed, self._where), self._seed)
            (row,) = catalogue.named([settings.model])
            if row.domain != spec.domain:
                raise IncompatibleModel(
                    f"{row.name!r} takes inputs {row.domain}, the target takes {spec.domain}; give "
                    "its --input-size, or leave out --model"
                )
            fingerprint = catalogue.fingerprints([row])[row.name]
        return questions_of_model(row.name, fingerprint, settings.questions)

    def key(self, name: str) -> str:
        """Returns the secret that the order of a watch's questions derives from."""
        return sha256_of(f"nullprint watch {self._seed} {checked_name(name)}")

    def add(
        self,
        name: str,
        baseline: Baseline,
        *,
        target: Mapping[str, Any],
        settings: WatchSettings,
    ) -> Watch:
        """Begins to watch a target.

        Raises:
            WatchTaken: Something is watched by this name.
        """
        wanted = checked_name(name)
        with self._writing() as session:
            _check_free(session, wanted)
            row = WatchRow(
                name=wanted,
                target=plain(target),
                settings=plain(settings.to_dict()),
                created=utc_now(),
            )
            session.add(row)
            session.flush()
            blob = WatchBaselineRow(watch_id=row.id, blob=baseline.encode())
            session.add(blob)
            payload = {"watch": row.name, "model": settings.model}
            ledger.append(session, "watch", payload, seed=self._seed, written=[row, blob])
            return Watch(
                name=row.name, created=row.created, target=row.target, settings=settings, runs=()
            )

    def record(self, name: str, seen: Observation) -> Run:
        """Judges a look at a target, given all looks before it, and writes it down.

        Raises:
            UnknownWatch: Nothing is watched by this name (any more).
            RegistryCorrupt: A row that the judgement rests on is not what was written.
        """
        from fingerprint.watching import judged

        with self._writing() as session:
            books = Books(session, self._seed, self._where)
            row = _row(books, name)
            watch, baseline = _watch(books, row), _baseline(books, row)
            run = judged(
                baseline,
                watch.runs,
                seen,
                began=watch.created,
                now=utc_now(),
                alpha=watch.settings.alpha,
            )
            written = WatchRunRow(
                watch_id=row.id,
                number=run.number,
                state=run.state,
                document=run.to_dict(),
                created=run.time,
            )
            session.add(written)
            payload = {"watch": watch.name, "run": run.number, "state": run.state}
            ledger.append(session, "observe", payload, seed=self._seed, written=[written])
        return run

    def remove(self, name: str) -> None:
        """Forgets a watch with its history; the chain keeps that it was there.

        Raises:
            UnknownWatch: Nothing is watched by this name.
        """
        with self._writing() as session:
            row = _found(session, checked_name(name))
            if row is None:
                raise UnknownWatch(name)
            numbers = session.scalars(
                select(WatchRunRow.number).where(WatchRunRow.watch_id == row.id)
            )
            deleted = [(WatchRunRow.__tablename__, f"{row.id}/{number}") for number in numbers]
            deleted += [(kind.__tablename__, str(row.id)) for kind in (WatchRow, WatchBaselineRow)]
            payload = {"watch": row.name}
            # What hangs on it goes with it: the database sees to that.
            session.execute(delete(WatchRow).where(WatchRow.id == row.id))
            session.expunge_all()
            ledger.append(session, "unwatch", payload, seed=self._seed, deleted=deleted)


def _found(session: Session, name: str) -> WatchRow | None:
    return session.scalars(select(WatchRow).where(WatchRow.name == name)).first()


def _check_free(session: Session, name: str) -> None:
    if _found(session, name) is not None:
        raise WatchTaken(name)


def _settled(books: Books, rows: list[Any]) -> list[Any]:
    books.settle()
    return rows


def _row(books: Books, name: str) -> WatchRow:
    wanted = checked_name(name)
    books.rows(SettingRow)
    for row in _settled(books, books.rows(WatchRow)):
        if row.name == wanted:
            found: WatchRow = row
            return found
    raise UnknownWatch(wanted)


def _watch(books: Books, row: WatchRow) -> Watch:
    from fingerprint.watching import Run

    rows = _settled(books, books.rows(WatchRunRow, [row.id]))
    try:
        return Watch(
            name=row.name,
            created=row.created,
            target=dict(row.target),
            settings=WatchSettings(**row.settings),
            runs=tuple(Run.from_dict(one.document) for one in rows),
        )
    except (FingerprintError, *_UNREADABLE) as error:
        raise RegistryCorrupt(books.where, (f"watches {row.id}: {error}",)) from error


def _baseline(books: Books, row: WatchRow) -> Baseline:
    from fingerprint.watching import Baseline

    (found,) = _settled(books, books.rows(WatchBaselineRow, [row.id]))
    try:
        return Baseline.decode(found.blob)
    except (FingerprintError, *_UNREADABLE) as error:
        raise RegistryCorrupt(books.where, (f"watch_baselines {row.id}: {error}",)) from error
