"""Fits the generator of `pipeline.data.synthesis` to real transactions: `python -m pipeline.data.synthesis.fit PATH`.

Normal scores and a mixture over them are a semiparametric Gaussian-mixture copula (Tewari, Giering and Raghunathan,
"Parametric characterization of multimodal distributions with non-Gaussian modes", ICDM workshops, 2011): the mixture
carries how columns depend on each other, the tables carry each column's own distribution.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import yaml
from scipy.special import ndtr, ndtri
from sklearn.mixture import GaussianMixture

from pipeline.data.synthesis import CLASSES, PARAMETERS, SUFFIXES, Generator, Mixture, Table
from trainer.arrays import Floats
from trainer.errors import InputError

# Judged by the likelihood of rows held out of the fit. Legitimate, in nats a row: 40 components -13.4, 80 -11.1,
# 120 -10.7, where the rows fitted rise to -7.3. Fraud, five folds: best at 8 to 12 components with 0.1 added (-25.7;
# with 0.01 -31.3, since 8 components then learn the 402 rows by heart).
COMPONENTS = {"legitimate": 80, "fraud": 8}
# Added to each variance of scores whose variance is about 1.
REGULARIZATION = {"legitimate": 0.01, "fraud": 0.1}

ROLES = {"label", "time", "amount", "numeric"}

_FEWEST_ROWS = 20  # for a component
_TAIL = 1e-7
_DECIMALS = 6


def fit(table: pa.Table, card: dict[str, Any], seed: int = 0) -> Generator:
    """Fits both classes of `table` (columns as the roles of its data card say, no value missing)."""
    roles = card["roles"]
    label = roles["label"]
    columns = (roles["time"], *roles["numeric"], roles["amount"])
    unusable = [name for name in (*columns, label) if not _is_usable(table, name)]
    if unusable:
        raise InputError(
            f"every column must be there and numbers throughout, got another thing for {', '.join(unusable)}; "
            "correct the data, or the roles in its card"
        )
    values = np.stack([table[name].to_numpy().astype(float) for name in columns])
    labels = table[label].to_numpy()
    decimals = tuple(map(_decimals, values))
    mixtures = {
        name: fit_class(values[:, labels == index], COMPONENTS[name], REGULARIZATION[name], seed)
        for index, name in enumerate(CLASSES)
    }
    return Generator(columns, label, decimals, str(card["source"]), str(card["licence"]), **mixtures)


def _is_usable(table: pa.Table, name: str) -> bool:
    if name not in table.column_names or table[name].null_count:
        return False
    kind = table[name].type
    return (pa.types.is_integer(kind) or pa.types.is_floating(kind)) and bool(np.isfinite(table[name].to_numpy()).all())


def fit_class(values: Floats, components: int, regularization: float, seed: int) -> Mixture:
    """Fits one class; values: [columns, rows], the time first and the amount last.

    Raises InputError for fewer than 20 rows a component.
    """
    rows = values.shape[1]
    if rows < _FEWEST_ROWS * components:
        raise InputError(
            f"{components} components need {_FEWEST_ROWS * components:,} rows of the class, got {rows:,}; "
            "give more rows or fewer components"
        )
    rng = np.random.default_rng(seed)
    scores = np.stack([_normal_scores(column, rng) for column in values], axis=1)
    mixture = GaussianMixture(components, reg_covar=regularization, random_state=seed, max_iter=200).fit(scores)
    return Mixture(
        weights=mixture.weights_,
        means=mixture.means_,
        factors=np.linalg.cholesky(mixture.covariances_),
        tables=tuple(_table(column, mixture, index) for index, column in enumerate(values)),
    )


def _normal_scores(values: Floats, rng: np.random.Generator) -> Floats:
    """Standard normal scores of the ranks; equal values, such as an amount of 1.00, share their span at random."""
    ranks = np.empty(len(values))
    ranks[np.lexsort((rng.random(len(values)), values))] = np.arange(len(values)) + 0.5
    scores: Floats = ndtri(ranks / len(values))
    return scores


def _table(values: Floats, mixture: GaussianMixture, column: int) -> Table:
    """The column's quantiles against those of the mixture's own marginal.

    A mixture's marginal is not quite the standard normal that the scores had; taking its quantiles in place of the
    normal's makes the drawn column's distribution that of the data, whatever the mixture.
    """
    rows = len(values)
    first = 0.5 / rows
    inner = np.linspace(0, 1, min(256, rows // 4) + 1)[1:-1]
    edge = np.geomspace(first, inner[0], 16)[:-1]
    probability = np.concatenate([edge, inner, 1 - edge])
    value = np.quantile(values, probability, method="hazen")
    # Amounts such as 1.00 and 99.99 are many rows each: two knots of the same value keep them.
    shared, counts = np.unique(values, return_counts=True)
    often = counts >= max(3, rows // 2000)
    upto = np.cumsum(counts) / rows
    spans = np.concatenate([(upto - counts / rows)[often], upto[often]])
    inside = (spans > first) & (spans < 1 - first)
    probability = np.concatenate([probability, spans[inside]])
    value = np.concatenate([value, np.tile(shared[often], 2)[inside]])
    order = np.lexsort((value, probability))
    probability, value = probability[order], np.maximum.accumulate(value[order])

    outer = np.geomspace(_TAIL, first, 8)[:-1]
    probability = np.concatenate([outer, probability, 1 - outer[::-1]])
    score = _marginal_quantiles(mixture, column, probability)
    # The time ends where the period does; other columns go on, so that the extremes are not one row's again and again.
    along = probability if column == 0 else score
    low, high = _limits(values, straight=column == 0)
    below = value[0] - _slope(value[:6], along[7:13]) * (along[7] - along[:7])
    above = value[-1] + _slope(value[-6:], along[-13:-7]) * (along[-7:] - along[-8])
    return Table(probability, score, np.concatenate([below, value, above]).clip(low, high))


def _slope(value: Floats, along: Floats) -> float:
    return float((value[-1] - value[0]) / (along[-1] - along[0]))


def _limits(values: Floats, straight: bool) -> tuple[float, float]:
    """How far drawn values may go: a time half a mean gap beyond those seen, others a tenth of the range."""
    low, high = values.min(), values.max()
    beyond = (high - low) * (0.5 / (len(values) - 1) if straight else 0.1)
    return (max(low - beyond, 0.0) if low >= 0 else low - beyond), high + beyond


def _marginal_quantiles(mixture: GaussianMixture, column: int, probability: Floats) -> Floats:
    """Where the mixture's marginal distribution of a column reaches each probability, by bisection."""
    means = mixture.means_[:, column]
    spreads = np.sqrt(mixture.covariances_[:, column, column])
    low, high = np.full(len(probability), -20.0), np.full(len(probability), 20.0)
    for _ in range(60):
        middle = (low + high) / 2
        reached = ndtr((middle[:, None] - means) / spreads) @ mixture.weights_ >= probability
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return high


def _decimals(values: Floats) -> int:
    """As many decimals as the column needs, at most 6: 0 for whole seconds, 2 for cents."""
    return next((digits for digits in (0, 2) if (values == values.round(digits)).all()), _DECIMALS)


def read(path: Path) -> pa.Table:
    """The transactions of a .csv, .csv.gz or .parquet file, in place."""
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"{path}: expected a {', '.join(SUFFIXES)} file")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return pyarrow.parquet.read_table(path) if path.suffix == ".parquet" else pyarrow.csv.read_csv(path)


def read_card(path: Path) -> dict[str, Any]:
    """The data card; it must give source, licence and the roles label, time, amount and numeric."""
    try:
        card: dict[str, Any] = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as a data card: {error}") from error
    wanted = {"source", "licence", "roles"}
    missing = sorted(wanted - set(card or {})) or sorted(ROLES - set(card["roles"] or {}))
    if missing:
        raise InputError(f"{path} does not say {', '.join(missing)}; see the card of a file that `synthesize` wrote")
    return card


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.data.synthesis.fit", description=__doc__.split(":")[0])
    parser.add_argument("path", type=Path, help="real transactions: .csv, .csv.gz or .parquet, with their data card")
    parser.add_argument("--card", type=Path, help="the data card; default: the one beside the data")
    parser.add_argument("--output", type=Path, default=PARAMETERS, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the mixtures' start; default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        suffix = next((suffix for suffix in SUFFIXES if options.path.name.endswith(suffix)), "")
        card = options.card or options.path.with_name(options.path.name.removesuffix(suffix) + ".card.yaml")
        fit(read(options.path), read_card(card), options.seed).save(options.output)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
