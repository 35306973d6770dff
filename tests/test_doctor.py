"""`spillguard doctor` tells a good machine from a bad one."""

from pathlib import Path

import pytest

from spillguard import doctor


def test_matmul_at_full_precision_is_exact_to_float32() -> None:
    found = doctor.matmul("highest", seconds=0.02)
    assert found.rate > 0.0  # how much says what else the machine does
    assert 0.0 < found.error < 1e-5  # 256 products of 24 bits each


def test_matmul_leaves_torch_as_it_was() -> None:
    import torch

    before = (torch.get_num_threads(), torch.get_float32_matmul_precision())
    doctor.matmul("medium", seconds=0.01)
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


def test_a_coarse_medium_is_not_recommended(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"highest": doctor.Matmul(100.0, 1e-7), "medium": doctor.Matmul(400.0, 1e-3)}
    monkeypatch.setattr(doctor, "matmul", found.__getitem__)
    advice = list(doctor.speed())[-1]
    assert "stay at highest" in advice.text


def test_a_missing_ros_is_named_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    (finding,) = doctor.ros()
    assert finding.verdict == doctor.ABSENT
    assert "extra 'ros'" in finding.text


@pytest.mark.parametrize(
    ("profile", "transports", "verdict"),
    [(None, None, doctor.POOR), (None, "UDPv4", doctor.FINE), (None, "SHM", doctor.POOR),
     ("absent.xml", None, doctor.POOR), ("here.xml", None, doctor.FINE)],
)  # fmt: skip
def test_shared_memory_transport_needs_a_look(
    profile: str | None, transports: str | None, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.xml").touch()
    for name in (
        "FASTDDS_DEFAULT_PROFILES_FILE",
        "FASTRTPS_DEFAULT_PROFILES_FILE",
        "FASTDDS_BUILTIN_TRANSPORTS",
    ):
        monkeypatch.delenv(name, raising=False)
    if profile:
        monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(tmp_path / profile))
    if transports:
        monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", transports)
    assert doctor.dds().verdict == verdict


def test_a_crash_in_a_check_is_a_finding() -> None:
    good, text = doctor._in_process("import os; os.abort()")
    assert not good
    assert text
