"""The file that carries scores from the Evaluator to whoever asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.evaluation.scores import AMOUNT, FOLDER, LABEL, TIME, Place, Scores, write

COLUMNS = (LABEL, AMOUNT, TIME, "candidate.score", "candidate.probability", "candidate.decision")


def batch(start: int, rows: int) -> list[np.ndarray]:
    numbers = np.arange(start, start + rows, dtype=float)
    return [numbers % 2, numbers, numbers * 3600, numbers / 100, numbers / 200, numbers % 3 == 0]


@pytest.fixture
def scores(tmp_path: Path) -> Scores:
    """Two files, the first in two batches."""
    folder = tmp_path / FOLDER
    folder.mkdir()
    write(str(folder.parent), str(folder / "a.gz.arrow"), COLUMNS, [batch(0, 3), batch(3, 2)])
    write(str(folder.parent), str(folder / "b.gz.arrow"), COLUMNS, [batch(5, 4)])
    return Scores.open(str(tmp_path))


def test_columns_go_through_all_files_in_order(scores: Scores) -> None:
    assert len(scores) == 9
    np.testing.assert_array_equal(scores.column(AMOUNT), np.arange(9))
    np.testing.assert_array_equal(scores.of("candidate", "decision"), np.arange(9) % 3 == 0)
    assert scores.column(LABEL).dtype == np.float32
    assert scores.column(TIME).dtype == np.float64  # float32 holds no second of this century
    assert AMOUNT in scores
    assert "candidate.margin" not in scores
    with pytest.raises(KeyError):
        scores.column("candidate.margin")


def test_each_row_can_be_found_again(scores: Scores) -> None:
    assert [scores.place(row) for row in (0, 4, 5, 8)] == [
        Place("a.gz", 0),
        Place("a.gz", 4),
        Place("b.gz", 0),
        Place("b.gz", 3),
    ]
    with pytest.raises(IndexError, match="there are 9 rows, got row 9"):
        scores.place(9)


def test_the_candidate_is_the_first_of_the_models(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    names = [f"{model}.score" for model in ("boosted_trees", "current", "candidate", "tutorial")]
    write(str(tmp_path), str(tmp_path / FOLDER / "a.arrow"), names, [[np.zeros(1)] * 4])
    assert Scores.open(str(tmp_path)).models == ("candidate", "current", "boosted_trees", "tutorial")


def test_days_are_those_that_the_transactions_took(scores: Scores) -> None:
    assert scores.days == pytest.approx(8 / 24)


@pytest.mark.parametrize(
    ("times", "share", "days"),
    [([0, 2 * 86_400], 1.0, 2.0), ([0, 2 * 86_400], 0.2, 0.4), ([5, 5], 1.0, 1 / 24), ([np.nan, np.nan], 1.0, 1.0)],
)
def test_a_random_split_holds_its_share_of_each_day(
    tmp_path: Path, times: list[float], share: float, days: float
) -> None:
    (tmp_path / FOLDER).mkdir()
    write(str(tmp_path), str(tmp_path / FOLDER / "a.arrow"), [TIME], [[np.array(times)]], share)
    scores = Scores.open(str(tmp_path))
    assert scores.share == share
    assert scores.days == pytest.approx(days)


def test_without_times_it_is_a_day(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    write(str(tmp_path), str(tmp_path / FOLDER / "a.arrow"), [LABEL], [[np.zeros(3)]])
    assert Scores.open(str(tmp_path)).days == 1.0


def test_without_scores_it_says_who_writes_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no scores; the Evaluator writes them"):
        Scores.open(str(tmp_path))


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    def broken() -> object:
        yield [np.zeros(2)]
        raise OSError("no space left")

    path = tmp_path / "a.arrow"
    with pytest.raises(OSError, match="no space left"):
        write(str(tmp_path), str(path), [LABEL], broken())  # type: ignore[arg-type]
    assert not path.exists()


def test_the_rows_stay_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / FOLDER).mkdir()
    write(str(tmp_path), str(tmp_path / FOLDER / "a.arrow"), [LABEL, AMOUNT], [[np.zeros(1_000_000)] * 2])
    monkeypatch.setattr("components.evaluation.scores.fileio.open", None)  # which would read it
    before = pa.total_allocated_bytes()
    scores = Scores.open(str(tmp_path))
    assert len(scores) == 1_000_000
    assert pa.total_allocated_bytes() - before < 100_000
