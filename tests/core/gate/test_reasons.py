"""One object per reason, in whatever order and process its name is met first."""

import pickle
import subprocess
import sys

import pytest

from spillguard_core.gate.reasons import COLLISION, Reason, Verdict


def test_a_reason_is_pickled_as_the_one_object_of_its_name() -> None:
    assert pickle.loads(pickle.dumps(COLLISION)) is COLLISION


def test_a_reason_known_only_from_a_recording_stays_open_to_its_definition_in_another_process() -> None:
    text = pickle.dumps(Reason.named("PICKLED_BEFORE_IT_WAS_DEFINED"))
    code = (
        "import pickle, sys\n"
        "from spillguard_core.gate.reasons import Reason, Verdict\n"
        f"found = pickle.loads({text!r})\n"
        "assert found.verdict is Verdict.STOP and not found.defined\n"
        "defined = Reason('PICKLED_BEFORE_IT_WAS_DEFINED', 'in words', Verdict.LIMIT)\n"
        "print(defined is found, found.verdict.name, found.value)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.split(maxsplit=2) == ["True", "LIMIT", "in words\n"]


def test_an_unknown_reason_stops_until_it_is_defined_and_keeps_its_first_meaning() -> None:
    found = Reason.named("MET_IN_A_RECORDING")
    assert (found.verdict, found.value) == (Verdict.STOP, "met in a recording")
    assert Reason("MET_IN_A_RECORDING", "hot", Verdict.HOLD) is found
    assert found.verdict is Verdict.HOLD
    with pytest.raises(ValueError, match="MET_IN_A_RECORDING is known as 'hot', HOLD"):
        Reason("MET_IN_A_RECORDING", "hot", Verdict.LIMIT)
