"""Chooses the label: which column says what was a fraud, and by which of its values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.data import names
from pipeline.data.draft import Draft, and_, gaps, or_, text_of
from pipeline.data.looks import MARKS, Look
from pipeline.escaping import in_shell
from trainer.arrays import Array
from trainer.columns import LabelValues, label_word
from trainer.errors import InputError

# A column by whose name nothing speaks for it is no label with fewer positives.
POSITIVES = 20

_FRAUD_WORDS = names.vocabulary(
    """
    1 yes y true t fraud fraudulent fraudster isfraud chargeback bad suspicious illegitimate scam positive
    anomaly anomalous laundering default confirmed confirmedfraud si oui ja sim betrug fraude
    """
)
_LEGITIMATE_WORDS = names.vocabulary(
    """
    0 no n false f legit legitimate genuine normal nonfraud notfraud nofraud notfraudulent nonfraudulent good
    ok valid clean negative regular real authentic non nein nao notsuspicious nothing
    """
)


@dataclass(frozen=True)
class LabelChoice:
    """The label; what its values mean, None for 0 and 1; and the label of each row: 1, 0, or NaN where it has none."""

    look: Look
    meanings: LabelValues | None
    rows: Array


@dataclass
class LabelChooser:
    """Chooses the label by names and values, and asks where they leave a doubt."""

    draft: Draft

    def choose(self) -> LabelChoice:
        """Raises InputError where there is no label, or none that can be read."""
        label = self._chosen_label()
        meanings, ones = self._meanings(label)
        blank_means = 0.0 if meanings is not None and "" in meanings.legitimate else np.nan
        labels = np.where(label.codes >= 0, ones[label.codes] if len(ones) else np.nan, blank_means)
        known = labels[np.isfinite(labels)]
        if not len(known):
            raise InputError(
                f"{self.draft.path}: {label.name!r}, the label, has no value in these rows; name another, --label"
            )
        frauds = int(known.sum())
        share = f"{frauds:,} frauds in {len(known):,} rows ({100 * frauds / len(known):.2g} %)"
        if frauds == 0:
            share = f"no fraud in the first {len(known):,} rows"
        how = "as you said" if self.draft.choices.label else "named like a label"
        meant = (
            ""
            if meanings is None
            else f"; {_or_blank(meanings.fraud)} means fraud, {_or_blank(meanings.legitimate)} does not"
        )
        blanks = label.missing if np.isnan(blank_means) else 0
        self.draft.take(label, "label", f"{share}; {how}{meant}{self._exceptions_of_label(label, ones, blanks)}")
        if frauds > 0.5 * len(known):
            self.draft.doubts.append(
                f"{label.name}: {100 * frauds / len(known):.0f} % of the rows are fraud by this label; if it is "
                "the other way round, say so with --fraud-value"
            )
        return LabelChoice(label, meanings, labels)

    def _chosen_label(self) -> Look:
        if self.draft.choices.label:
            return self.draft.looks[self.draft.choices.label]
        ranked = sorted(
            (
                (names.label_rank(look.name), look)
                for look in self.draft.looks.values()
                if names.label_rank(look.name) > 0
            ),
            key=lambda pair: -pair[0],
        )
        usable = [(rank, look) for rank, look in ranked if self._could_be_label(look, rank)]
        if not usable:
            raise InputError(self._no_label([look for _, look in ranked]))
        best = [look for rank, look in usable if rank == usable[0][0]]
        if ranked[0][0] > usable[0][0] and ranked[0][0] >= 3:
            # what is named most like a label cannot be read as one
            raise InputError(self._unreadable(ranked[0][1]))
        if len(best) > 1:
            raise InputError(
                f"{self.draft.path}: {and_([repr(look.name) for look in best])} could each be the label; say which "
                f"with --label, for example --label {in_shell(best[0].name)}"
            )
        rivals = [look.name for _, look in usable[1:]]
        if rivals:
            self.draft.doubts.append(f"{best[0].name} is the label; {and_(rivals)} could be one too: --label chooses")
        return best[0]

    def _could_be_label(self, look: Look, rank: float) -> bool:
        if look.is_other or not look.present:
            return False
        try:
            _, ones = self._meanings(look)
        except InputError:
            return False
        positives = int(look.counts[ones == 1].sum())
        return rank >= 3 or (positives > 0 and POSITIVES <= positives < 0.5 * look.present)

    def _no_label(self, named: list[Look]) -> str:
        if named:
            return self._unreadable(named[0])
        two = [
            look for look in self.draft.looks.values()
            if not look.is_other and look.different == 2 and not look.missing and not names.says_fraud(look.name)
        ]  # fmt: skip
        few = ", ".join(f"{look.name!r} ({look.shown()})" for look in two[:6])
        hint = f"; these have two values: {few}" if two else ""
        flags = [look.name for look in self.draft.looks.values() if names.says_fraud(look.name)]
        about = (
            f"; {and_(flags)} speak{'s' * (len(flags) == 1)} of fraud, but of the past or of a rule" if flags else ""
        )
        example = in_shell(two[0].name) if two else "NAME"
        return (
            f"{self.draft.path} has no column that could be the label by its name{about}{hint}; say which column tells "
            f"what was a fraud, and by which value if it is not 1: --label {example} --fraud-value VALUE"
        )

    def _unreadable(self, look: Look) -> str:
        if look.is_other:
            held = f"is of type {look.type}"
        elif not look.present:
            held = "has no values"
        else:
            values = f"{look.different:,} different value{'s' * (look.different != 1)}"
            held = f"has {values} such as {look.shown(5)}{gaps(look)}"
        way = "name another column with --label"
        if (
            look.present
            and look.missing
            and (look.different == 1 or (look.different <= 20 and look.missing > look.present))
        ):
            most = look.values[int(np.argmax(look.counts))].as_py()
            way = (
                f"if its values mean fraud, and no value means a legitimate transaction, say so: --fraud-value "
                f"{in_shell(text_of(most))}; or {way}"
            )
        elif look.present and 1 < look.different <= 20:
            most = look.values[int(np.argmin(look.counts))].as_py()
            way = f"say which of its values mean fraud, for example --fraud-value {in_shell(str(most))}, or {way}"
        return f"{self.draft.path}: {look.name!r} is named like a label but {held}; {way}"

    def _meanings(self, label: Look) -> tuple[LabelValues | None, Array]:
        """What the values mean, None for 0 and 1, and for each of them 1 for fraud, 0 for none, NaN for no value.

        Raises:
          InputError: that cannot be told.
        """
        words = [label_word(text_of(value)) for value in label.values.to_pylist()]
        if self.draft.choices.fraud_values and self.draft.choices.label in (None, label.name):
            return self._told_meanings(label, words)
        positive = set(names.words(label.name)) & {"legit", "legitimate", "genuine", "valid", "nonfraud", "clean"}
        if positive and set(words) <= {"0", "1", "true", "false", "y", "n", "yes", "no"} and len(set(words)) == 2:
            means_fraud = set(words) & {"0", "false", "n", "no"}
            means_none = set(words) - means_fraud
            self._once(f"{label.name}: by its name {or_(means_none)} means legitimate; --fraud-value says otherwise")
            values = LabelValues(fraud=tuple(means_fraud), legitimate=tuple(means_none))
            return values, self._ones(words, means_fraud, means_none)
        fraud = {word for word in words if _plain(word) in _FRAUD_WORDS}
        legitimate = {word for word in words if _plain(word) in _LEGITIMATE_WORDS}
        if len(fraud) > 1:
            fraud -= {label_word(label.name)}  # a header that is repeated among the rows
        plain = {"0", "1", "true", "false"}
        others = [word for word in dict.fromkeys(words) if word not in fraud | legitimate]
        counts = {word: int(label.counts[[w == word for w in words]].sum()) for word in dict.fromkeys(words)}
        if set(words) in ({"-1", "1"}, {"1", "2"}):
            rarer, usual = sorted(set(words), key=lambda word: counts[word])
            doubt = (
                f"{label.name}: {rarer} is taken for fraud, since it is the rarer value; --fraud-value says otherwise"
            )
            self._once(doubt)
            return LabelValues(fraud=(rarer,), legitimate=(usual,)), self._ones(words, {rarer}, {usual})
        if self.draft.choices.label == label.name and fraud and others and len(words) <= 20:
            # a person said that this is the label: what does not mean fraud then means none
            self._once(f"{label.name}: {or_(others)} is taken for legitimate; --fraud-value says otherwise")
            legitimate, others = legitimate | set(others) - _marks(), []
        odd = sum(counts[word] for word in others)
        # a label of 0, 1, 2, 3 may count kinds of fraud
        numbers = [word for word in others if re.fullmatch(r"[-+]?\d+", word)]
        if numbers or not (fraud or legitimate) or odd > 0.05 * label.present or len(others) > 20:
            raise InputError(self._unreadable(label))
        if not fraud and not (legitimate <= plain) and label.different > 1:
            raise InputError(self._unreadable(label))
        ones = self._ones(words, fraud, legitimate)
        if fraud and not legitimate and label.missing:
            raise InputError(self._unreadable(label))
        if (fraud | legitimate) <= plain:
            return None, ones
        # both sides are named in the config, also where these rows hold one of them alone
        if not fraud or not legitimate:
            raise InputError(self._unreadable(label))
        values = LabelValues(
            fraud=self._as_written(label, [word for word in words if word in fraud]),
            legitimate=self._as_written(label, [word for word in words if word in legitimate]),
        )
        return values, ones

    def _told_meanings(self, label: Look, words: list[str]) -> tuple[LabelValues, Array]:
        """As `_meanings`, by the values that a person said mean fraud: all others mean none."""
        told = dict.fromkeys(label_word(value) for value in self.draft.choices.fraud_values)
        unknown = [value for value in self.draft.choices.fraud_values if label_word(value) not in words]
        if unknown:
            raise InputError(
                f"{self.draft.path}: no value of {label.name!r} is {or_(unknown)}, as --fraud-value says; it has "
                f"{label.shown(5)}"
            )
        rest = [word for word in dict.fromkeys(words) if word not in told and word not in _marks()]
        if not rest and label.missing:
            self._once(f"{label.name}: a row without a value is taken for legitimate, as --fraud-value implies")
            rest = [""]
        if len(rest) > 20 or not rest:
            raise InputError(self._unreadable(label))
        values = LabelValues(fraud=self._as_written(label, told), legitimate=self._as_written(label, rest))
        return values, self._ones(words, {*told}, {*rest})

    @staticmethod
    def _as_written(label: Look, words: Iterable[str]) -> tuple[str, ...]:
        written = {label_word(text_of(value)): text_of(value) for value in label.values.to_pylist()}
        return tuple(written.get(word, word) for word in words)

    def _once(self, doubt: str) -> None:
        if doubt not in self.draft.doubts:
            self.draft.doubts.append(doubt)

    @staticmethod
    def _ones(words: list[str], fraud: set[str], legitimate: set[str]) -> Array:
        return np.array([1.0 if word in fraud else 0.0 if word in legitimate else np.nan for word in words])

    def _exceptions_of_label(self, label: Look, ones: Array, blanks: int) -> str:
        """blanks: how many rows have no value."""
        odd = np.flatnonzero(~np.isfinite(ones))
        rows = int(label.counts[odd].sum()) + blanks
        if not rows:
            return ""
        self.draft.without.append("label")
        marks = tuple(text_of(label.values[int(place)].as_py()) for place in odd)
        if marks:
            self.draft.missing[label.name] = marks
        said = f"; {rows:,} rows without a label are left out"
        if marks:
            said += f", first exception {self.draft.place(label, label.values[int(odd[0])].as_py())}"
        self.draft.doubts.append(f"{label.name}: {rows:,} rows have no label that can be read, and are left out")
        return said


def _plain(word: str) -> str:
    """Without marks, but for the sign of a number."""
    return word if re.fullmatch(r"-\d+", word) else re.sub(r"[\W_]", "", word)


def _or_blank(values: Iterable[str]) -> str:
    return or_(value or "no value" for value in values)


def _marks() -> set[str]:
    return {label_word(mark) for mark in MARKS}
