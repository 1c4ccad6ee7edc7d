"""Whether a curve is flat is told from the log."""

from dataclasses import replace
from pathlib import Path

import pytest

from cinesr.errors import UnreadableFileError
from cinesr.experiment.answer import training_answer
from cinesr.experiment.config import ExperimentConfig
from cinesr.experiment.history import Training, read_training


def training(
    folder: Path, config: ExperimentConfig, curve: list[float], *, planned: int
) -> Training:
    rows = [f"{100 * n},{value},{n + 1}" for n, value in enumerate(curve, 1)]
    (folder / "log.csv").write_text("\n".join(["step,psnr,seconds", *rows]) + "\n")
    run = config.networks[0]
    plan = replace(run.optimisation, epochs=planned)
    return read_training(replace(run, output=str(folder), optimisation=plan))


def test_the_gain_of_the_last_fifth_decides(tmp_path: Path, tiny: ExperimentConfig) -> None:
    rising = training(
        tmp_path, tiny, [20, 25, 27, 28, 28.5, 29, 29.3, 29.5, 29.6, 29.7], planned=10
    )
    assert rising.late_gain_db == pytest.approx(0.2)
    assert (rising.flat, rising.cut_short) == (False, False)
    assert rising.seconds_per_epoch == 6.5
    assert "net: not flat, the last fifth of its steps gained +0.200 dB" in training_answer(
        rising, "net"
    )
    flat = training(tmp_path, tiny, [20, 25, 29.6, 29.62, 29.64], planned=5)
    assert flat.flat
    words = training_answer(flat, "net")
    assert words.startswith("net: flat, the last fifth of its steps gained +0.020 dB")
    assert "cosine" in words
    assert "cosine" not in training_answer(replace(flat, schedule="constant"), "net")


def test_a_run_that_was_cut_short_says_so(tmp_path: Path, tiny: ExperimentConfig) -> None:
    found = training(tmp_path, tiny, [29.0] * 5, planned=6)
    assert found.cut_short
    assert "net was cut short: 5 of 6 planned epochs" in training_answer(found, "net")
    few = training(tmp_path, tiny, [29.0] * 4, planned=4)
    assert (few.late_gain_db, few.flat) == (None, False)
    assert "fewer than five epochs" in training_answer(few, "net")


@pytest.mark.parametrize(
    "text", ["", "step,psnr,seconds\n", "a,b\n1,2\n", "step,psnr,seconds\n1,x,2"]
)
def test_what_is_no_log_is_told(text: str, tmp_path: Path, tiny: ExperimentConfig) -> None:
    run = replace(tiny.networks[0], output=str(tmp_path))
    with pytest.raises(UnreadableFileError, match=r"log\.csv: is not the log"):
        read_training(run)
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(UnreadableFileError, match=r"log\.csv: is not the log"):
        read_training(run)
