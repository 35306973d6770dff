"""YAML as people read it: numbers and words of YAML 1.2."""

import math
from typing import Any

import pytest

from spillguard_core.robot.arm import load_robot
from spillguard_core.robot.plain_yaml import plain_yaml
from tests.core.robot.test_arm import GEN3, LINE, written


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"),  # in YAML 1.1: 90
        ("1:30.5", "1:30.5"),
        ("010", 10),  # 8
        ("0x10", "0x10"),  # 16
        ("1_000", "1_000"),  # 1000
        ("1e3", 1000.0),  # a word
        ("no", "no"),  # false
        ("on", "on"),  # true
        ("2026-01-01", "2026-01-01"),  # a date
        ("-.5", -0.5),
        ("5.", 5.0),
        ("-3", -3),
        ("+1.5e-3", 0.0015),
        ("-.inf", -math.inf),
        ("true", True),
        ("~", None),
        ("", None),
        ("null", None),
        ("'1'", "1"),
        ("1 30", "1 30"),
    ],
)
def test_a_value_is_what_it_looks_like(text: str, value: Any) -> None:
    read = plain_yaml(f"key: {text}\n")["key"]
    assert read == value and type(read) is type(value)


def test_not_a_number_is_read_as_such() -> None:
    assert math.isnan(plain_yaml(".nan"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: !!int 1:30", "line 1 has the tag 'int'"),
        ("a: 1\nb: !!map [1]", "line 2 has the tag 'map'"),
        ("a: !!set [1]", "line 1 has the tag 'set'"),
        ("a: !local 1", "has the tag '!local'"),
        ("a: 1e400", "larger than any number"),
        ("a: -1e400", "larger than any number"),
    ],
)
def test_what_says_something_else_than_what_stands_there_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plain_yaml(text)


def test_a_merge_is_a_key_like_any_other() -> None:
    assert plain_yaml("<<: {a: 1}\nb: 2") == {"<<": {"a": 1}, "b": 2}


def test_a_time_is_no_limit(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="jerk has to be a list of numbers"):
        load_robot(written(tmp_path, GEN3.replace(LINE, "jerk: [1:30, 1, 1, 1, 1, 1, 1]\n")))
