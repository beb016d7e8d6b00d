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
_WORD = re.compile(r"([^\W\d_]{3,})(\.?)")


def month_of(word: str) -> int | None:
    """The month from 0 that a word names; None where it names none."""
    return _MONTHS.get(word.lower().translate(_PLAIN))


def with_english_months(text: str, pattern: str) -> str:
    """The text with English names in place of months' names, short or long as the pattern of strptime's has them.

    A dot after a short name, as in 3. Sept. 2024, is left out where the pattern has none.
    """
    dotted = re.search(r"%[bB]\.", pattern) is not None

    def english(match: re.Match[str]) -> str:
        month = month_of(match[1])
        if month is None:
            return match[0]
        name = _ENGLISH[month][:3] if "%b" in pattern else _ENGLISH[month]
        return f"{name}{match[2]}" if dotted else name

    return _WORD.sub(english, text)
