"""Names of months in the languages of Western Europe, as English ones, which strptime reads whatever the locale."""

from __future__ import annotations

import re

_ENGLISH = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
# CLDR's wide and abbreviated names without accents, https://cldr.unicode.org: German, French, Spanish, Italian,
# Portuguese, Dutch. No two languages mean different months by one of them.
_NAMES = (
    "jan januar janner janvier janv enero ene gennaio gen janeiro januari",
    "feb februar feber fevrier fevr fev febrero febbraio fevereiro februari",
    "mar marz maerz mrz mars marzo marco maart mrt",
    "apr april avril avr abril abr aprile",
    "may mai mayo maggio mag maio mei",
    "jun juni juin junio giugno giu junho",
    "jul juli juillet juil julio luglio lug julho",
    "aug august aout agosto ago augustus",
    "sep sept september septembre septiembre settembre set setembro",
    "oct okt oktober octobre octubre ottobre ott outubro out",
    "nov november novembre noviembre novembro",
    "dec dez dezember decembre diciembre dic dicembre dezembro december",
)
_MONTHS = {name: number for number, names in enumerate(_NAMES) for name in names.split()}
_MONTHS |= {name.lower(): number for number, name in enumerate(_ENGLISH)}
_PLAIN = str.maketrans("äáàâãåéèêëíìîïóòôõöúùûüç", "aaaaaaeeeeiiiiooooouuuuc")
_WORD = re.compile(r"([^\W\d_]{3,})\.?")


def month_of(word: str) -> int | None:
    """The month from 0 that a word names; None where it names none."""
    return _MONTHS.get(word.lower().translate(_PLAIN))


def with_english_months(text: str, *, abbreviated: bool) -> str:
    """The text with English names in place of months' names, of three letters or whole."""

    def english(match: re.Match[str]) -> str:
        month = month_of(match[1])
        if month is None:
            return match[0]
        return _ENGLISH[month][:3] if abbreviated else _ENGLISH[month]

    return _WORD.sub(english, text)
