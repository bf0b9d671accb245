from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bench.choice import UnknownRowError, choose
from bench.rows import Measured, NotRunError, Row
from bench.run import main
from bench.table import ROWS

ROOT = Path(__file__).parents[2]
PROMISED = {
    "group_batch_commits": 1.2,
    "deliveries_envelope_vs_event": 1.2,
    "mls_encrypt_time_200_vs_3": 1.2,
    "mls_encrypt_bytes_200_vs_3": 1.0,
    "mls_update_200_vs_add_200_rfc9420": 1.0,
    "mls_bytes_200_vs_pyrage": 1.0,
    "mls_send_saved_200_vs_3": 1.5,
    "mls_commit_adds_200_vs_50": 5.0,
    "mls_update_1000_vs_200": 5.0,
    "mls_vs_tsmls_worst": 0.5,
    "rotation_vs_floor": 1.5,
    "emulator_rotation_vs_floor": 1.5,
    "door_import_vs_floor": 1.15,
    "sweep_reads_100k_vs_1k": 1.0,
    "sweep_time_100k_vs_1k": 1.2,
    "verify_hot_vs_hmac": 4.0,
    "verify_hot_vs_bcrypt12": 10_000,
    "verify_guessing_latency": 1.5,
    "verify_beside_bcrypt": 1.5,
    "refusal_timing_t": 4.5,
    "proof_refusal_timing_t": 4.5,
    "verify_first_calls_vs_two": 1.0,
    "verify_memory_100k_vs_100mb": 1.0,
    "token_vs_authlib_plain": 1.0,
    "token_vs_authlib_bcrypt10": 60.0,
    "token_vs_floor": 0.65,
    "check_get_vs_floor": 0.9,
}


def row(name: str, ratio: float, *, limit: float = 1.0, exact: bool = False) -> Row:
    return Row(name, limit, lambda _folder: Measured(ratio, {"some_ms": 2.5}), exact)


def run(rows: list[Row], result: Path) -> tuple[int, str]:
    shown = io.StringIO()
    return main(rows, result, Console(file=shown, width=120)), shown.getvalue()


def test_table_has_every_promise() -> None:
    assert {item.name: item.limit for item in ROWS} == PROMISED


def test_equal_is_demanded_where_it_is_promised() -> None:
    exact = {"mls_encrypt_bytes_200_vs_3", "sweep_reads_100k_vs_1k", "verify_first_calls_vs_two"}
    assert {item.name for item in ROWS if item.exact} == exact


def test_result_is_written(tmp_path: Path) -> None:
    result = tmp_path / "build" / "bench.json"
    status, shown = run([row("first", 0.5), row("second", 1.0, exact=True)], result)
    written = json.loads(result.read_text("utf-8"))
    assert status == 0
    assert list(written) == ["first", "second"]
    assert {key: written["first"][key] for key in ("ratio", "limit", "holds", "some_ms")} == {
        "ratio": 0.5,
        "limit": 1.0,
        "holds": True,
        "some_ms": 2.5,
    }
    assert "first" in shown
    assert "second" in shown


def test_a_limit_that_is_broken_is_exit_status_1(tmp_path: Path) -> None:
    result = tmp_path / "bench.json"
    status, _ = run([row("kept", 1.0), row("broken", 1.001)], result)
    written = json.loads(result.read_text("utf-8"))
    assert status == 1
    assert written["kept"]["holds"] is True
    assert written["broken"]["holds"] is False


def test_a_row_that_cannot_run_says_why_and_breaks_nothing(tmp_path: Path) -> None:
    def measure(_folder: Path) -> Measured:
        raise NotRunError("There is no java on this machine.")

    result = tmp_path / "bench.json"
    status, shown = run([row("kept", 1.0), Row("elsewhere", 1.5, measure)], result)
    written = json.loads(result.read_text("utf-8"))
    assert status == 0
    assert written["elsewhere"] == {"limit": 1.5, "limit_is": "most", "not_run": "There is no java on this machine."}
    assert "not run" in shown


def test_exact_holds_neither_above_nor_below() -> None:
    assert row("exact", 0, exact=True).holds(1.0)
    assert not row("exact", 0, exact=True).holds(0.99)
    assert not row("exact", 0, exact=True).holds(1.01)


def test_a_lowest_ratio_holds_from_there_on() -> None:
    least = Row("least", 60.0, lambda _folder: Measured(60.0), at_least=True)
    assert [least.holds(ratio) for ratio in (59.9, 60.0, 1e6, float("nan"))] == [False, True, True, False]
    assert (least.limit_is, row("most", 1.0).limit_is, row("one", 1.0, exact=True).limit_is) == (
        "least",
        "most",
        "exact",
    )


def test_what_is_no_number_keeps_no_limit() -> None:
    assert not row("odd", 0).holds(float("nan"))


def test_each_row_has_an_empty_folder_that_goes(tmp_path: Path) -> None:
    given: list[Path] = []

    def measure(folder: Path) -> Measured:
        assert not list(folder.iterdir())
        (folder / "left behind").touch()
        given.append(folder)
        return Measured(1.0)

    main([Row("one", 1.0, measure), Row("two", 1.0, measure)], tmp_path / "bench.json", Console(file=io.StringIO()))
    assert len(set(given)) == 2
    assert not any(folder.exists() for folder in given)


def test_named_rows_run_in_the_order_of_the_table_and_no_name_runs_all() -> None:
    names = [item.name for item in ROWS]
    assert [item.name for item in choose(ROWS, [])] == names
    assert [item.name for item in choose(ROWS, [names[3], names[1], names[3]])] == [names[1], names[3]]


@pytest.mark.parametrize(("name", "nearest"), [("verify_hot_vs_hmca", "verify_hot_vs_hmac"), ("sweep", "sweep_")])
def test_an_unknown_name_is_refused_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UnknownRowError, match=f"no row {name}. The nearest name is {nearest}"):
        choose(ROWS, [name])


def test_the_program_refuses_an_unknown_name_and_measures_nothing() -> None:
    asked = [sys.executable, "-m", "bench", "mls_bytes"]
    answer = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - this package
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("There is no row mls_bytes. The nearest name is mls_bytes_200_vs_pyrage")
