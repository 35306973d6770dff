"""Odd contents of a manifest: numbers beyond all numbers, texts that fit no line, ways out of the bundle."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spillguard_core.bundle.bundle import load_bundle
from tests.core.bundle.refusals import refused

Edit = Callable[[Callable[[dict[str, Any]], None]], None]


def test_file_list_with_a_way_out_of_the_directory(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["files"].update({"../policy.onnx": "0" * 64}))
    refused(bundle, r"lists the files .*\.\./policy\.onnx")


@pytest.mark.parametrize(
    "text", ["1e999", "-1e999", "1" + "0" * 400, "9" * 5000, "[" * 100_000 + "]" * 100_000]
)
@pytest.mark.parametrize("place", ["value", "gamma"])
def test_number_beyond_all_numbers(bundle: Path, text: str, place: str) -> None:
    path = bundle / "manifest.json"
    old = path.read_text()
    new = re.sub(rf'"{place}": [\d.]+', lambda found: f'"{place}": {text}', old)
    path.write_text(new)
    assert new != old
    if text.startswith("10") and place == "gamma":
        load_bundle(bundle)  # a whole number that nobody computes with
    else:
        refused(bundle, r"manifest\.json")


@pytest.mark.parametrize("name", ["policy_rate", "monitor_rate"])
@pytest.mark.parametrize("rate", [0.0, 0.5, -20.0, 1e6, 1e308])
def test_rate_that_nothing_runs_at(bundle: Path, edit: Edit, name: str, rate: float) -> None:
    edit(lambda raw: raw.update({name: rate}))
    refused(bundle, rf"manifest\.json: {name} must be 1 to 1000 Hz")


def test_text_that_every_status_would_repeat(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["threshold"].update(calibration="x" * 501))
    refused(bundle, r"threshold\.calibration is longer than 500 characters")


def test_half_a_character(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["threshold"].update(calibration="\ud800"))
    refused(bundle, r"manifest\.json is not valid JSON")


def test_manifest_that_is_no_text(bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"meta_sac_lag", b"meta_sac_\xff"))
    refused(bundle, r"manifest\.json is not valid JSON: UnicodeDecodeError")


def test_limits_of_another_length(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["limits"].update(workspace_min=[0.5, 0.0], workspace_max=[0.6, 0.1]))
    refused(bundle, r"manifest\.json: limits: .*three values")


@pytest.mark.parametrize("depth", [600, 5000, 100_000])
def test_provenance_nested_too_deeply_to_be_written_again(bundle: Path, edit: Edit, depth: int) -> None:
    edit(lambda raw: None)  # no change but fresh hashes
    text = (bundle / "manifest.json").read_text()
    nested = '"config": {"a": ' + "[" * depth + "]" * depth + ","
    assert '"config": {' in text
    (bundle / "manifest.json").write_text(text.replace('"config": {', nested, 1).replace(",}", "}"))
    refused(bundle, "manifest.json is not valid JSON")


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "\u2028"])
def test_what_the_threshold_promises_has_to_be_one_line(bundle: Path, edit: Edit, text: str) -> None:
    def change(raw: dict[str, Any]) -> None:
        raw["threshold"]["calibration"] = text

    edit(change)
    refused(bundle, "threshold.calibration has to be one printable line")
