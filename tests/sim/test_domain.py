"""What the bench does not know about a cell: its ranges and its files."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from sim.pouring.domain import FULL, NOMINAL, POSSIBLE, POURS, QUANTITIES, Domain, Spread, sample
from sim.pouring.domain_file import from_yaml, spread_of, to_yaml
from sim.pouring.domain_page import page
from sim.pouring.scenario import oldest, sample_scenario

# Ranges


def test_every_quantity_has_a_reason_and_its_nominal_value_lies_in_its_range() -> None:
    assert list(QUANTITIES) == [field.name for field in fields(Domain)]
    for name, quantity in QUANTITIES.items():
        assert quantity.reason, name
        if quantity.choices:
            assert quantity.nominal in quantity.choices, name
            continue
        low, nominal, high = map(np.asarray, (quantity.low, quantity.nominal, quantity.high))
        assert (low <= nominal).all() and (nominal <= high).all(), name


def test_no_joint_of_the_nominal_arm_is_without_friction_or_its_servos_without_lag() -> None:
    assert min(NOMINAL.dry_friction) > 0.0 and min(NOMINAL.viscous_friction) > 0.0 and NOMINAL.lag > 0.0


def test_one_seed_gives_one_domain() -> None:
    first, again, other = (sample(np.random.default_rng(seed), FULL) for seed in (4, 4, 5))
    assert first == again != other


def test_the_full_spread_varies_everything_that_has_a_range_and_keeps_to_it() -> None:
    drawn = [sample(np.random.default_rng(seed), FULL) for seed in range(40)]
    for name, (low, high) in FULL.varied.items():
        values = np.array([getattr(domain, name) for domain in drawn], dtype=float)
        assert (np.ptp(values, axis=0) > 0.3 * (np.asarray(high) - low)).all(), name
        assert (values >= low).all() and (values <= high).all(), name
    ranged = {name for name, q in QUANTITIES.items() if not q.choices and q.low != q.high}
    assert set(FULL.varied) == ranged


def test_from_pour_to_pour_only_the_cup_its_content_and_the_delay_change() -> None:
    one = sample(np.random.default_rng(1), POURS)
    changed = {
        field.name for field in fields(Domain) if getattr(one, field.name) != getattr(NOMINAL, field.name)
    }
    assert changed == set(POURS.varied)
    for name, (low, high) in POURS.varied.items():
        assert QUANTITIES[name].low <= low <= high <= QUANTITIES[name].high


def test_both_ends_of_a_range_of_whole_numbers_are_drawn() -> None:
    rng, spread = np.random.default_rng(0), Spread(NOMINAL, {"granules": (12, 14)})
    assert {sample(rng, spread).granules for _ in range(60)} == {12, 13, 14}


def test_every_number_has_ends_of_what_is_possible_and_its_range_lies_between_them() -> None:
    assert set(POSSIBLE) == {name for name, quantity in QUANTITIES.items() if not quantity.choices}
    for name, (least, most) in POSSIBLE.items():
        assert -np.inf < least <= np.min(QUANTITIES[name].low), name
        assert np.max(QUANTITIES[name].high) <= most < np.inf, name


# Files


def test_a_file_gives_values_and_ranges_and_leaves_the_rest_nominal(tmp_path) -> None:
    path = tmp_path / "arm.yaml"
    path.write_text(
        "schema: 1\nquantities:\n  lag: {value: 0.03}\n  payload: {value: 0.2, low: 0.1, high: 0.3}\n"
        "  dry_friction: {value: [1, 1, 1, 1, 0.5, 0.5, 0.5]}\n  cone: {value: elliptic}\n"
    )
    spread = spread_of(str(path))
    assert spread.base == replace(
        NOMINAL, lag=0.03, payload=0.2, dry_friction=(1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5), cone="elliptic"
    )
    assert spread.varied == {"payload": (0.1, 0.3)}
    drawn = sample(np.random.default_rng(0), spread)
    assert 0.1 <= drawn.payload <= 0.3 and drawn.lag == 0.03


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1", "schema: 1"),
        ("schema: 2\nquantities: {}", "schema: 1"),
        ("schema: 1\nquantities: {colour: {value: 1}}", "unknown quantity 'colour'"),
        ("schema: 1\nquantities: {lag: 0.1}", "needs a value"),
        ("schema: 1\nquantities: {lag: {value: fast}}", "is a number, got 'fast'"),
        ("schema: 1\nquantities: {lag: {value: .nan}}", "is a number"),
        ("schema: 1\nquantities: {lag: {value: true}}", "is a number"),
        ("schema: 1\nquantities: {lag: {value: [0.1]}}", "is a number"),
        ("schema: 1\nquantities: {dry_friction: {value: [1, 2]}}", "list of 7 numbers"),
        ("schema: 1\nquantities: {dry_friction: {value: 1}}", "list of 7 numbers"),
        ("schema: 1\nquantities: {granules: {value: 12.5}}", "whole number"),
        ("schema: 1\nquantities: {solver: {value: magic}}", "one of newton, cg, pgs"),
        ("schema: 1\nquantities: {lag: {value: 0.1, low: 0.2}}", "both low and high"),
        ("schema: 1\nquantities: {lag: {value: 0.1, low: 0.2, high: 0.1}}", "low 0.2 is above high 0.1"),
        ("schema: 1\nquantities: {lag: {value: -0.1}}", "lag is -0.1"),
        ("schema: 1\nquantities: {granule_friction: {value: -0.1}}", "possible are 0 to 10"),
        (
            "schema: 1\nquantities: {target_error: {value: [0, 0, 0], low: [0, 0, 0.2], high: [1, 1, 0.1]}}",
            "is above high",
        ),
        ("schema: 1\nquantities: {granules: {value: 0}}", "granules is 0"),
        ("schema: 1\nquantities: {granules: {value: 2, low: 1, high: 400}}", "granules is 400"),
        ("schema: 1\nquantities: {timestep: {value: 0.003}}", "timestep is 0.003"),
        ("schema: 1\nquantities: {lag: {value: 1, value: 2}}", "second time"),
        ("schema: true\nquantities: {}", "schema: 1"),
        ("schema: 1\nquantities: {}\nlag: 0.1", "has schema, quantities and nothing else; got 'lag'"),
        (
            "schema: 1\nquantities: {lag: {value: 0.1, hgih: 0.2}}",
            "value, low, high and nothing else; got 'hgih'",
        ),
        (
            "schema: 1\nquantities: {payload: {value: 0.3, low: 0.1, high: 0.2}}",
            "value 0.3 has to lie from low 0.1",
        ),
        ("schema: 1\nquantities: {solver: {value: cg, low: cg, high: pgs}}", "solver takes single values"),
        (
            "schema: 1\nquantities: {timestep: {value: 0.005, low: 0.001, high: 0.005}}",
            "timestep takes single",
        ),
        ("schema: 1\nquantities: {lag: {value: 1" + "0" * 400 + "}}", "lag is a number, got 1000"),
        ("schema: 1\nquantities: {lag: {value: " + "9" * 4000 + "}}", "lag"),
        ("schema: 1\nquantities: {lag: {value: " + "x" * 9000 + "}}", "lag is a number, got 'xxx"),
        ("schema: 1\nquantities: {delay: {value: 1.0e+308}}", "delay is 1e+308, possible are 0 to 2 s"),
        ("schema: 1\nquantities: {load_cell_noise: {value: 1.0e+300}}", "possible are 0 to 1 kg"),
        ("schema: 1\nquantities: {granule_friction: {value: 1.0e+300}}", "possible are 0 to 10"),
        ("schema: 1\nquantities: {target_error: {value: [1.0e+3, 0, 0]}}", "possible are -1 to 1 m"),
    ],
)
def test_a_file_that_says_something_else_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(ValueError) as error:
        from_yaml(text)
    assert words in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 700


def test_a_file_larger_than_any_domain_is_refused_unread(tmp_path) -> None:
    path = tmp_path / "arm.yaml"
    path.write_text("schema: 1\nquantities: {}\n" + "#" * (1 << 15))
    with pytest.raises(ValueError, match="larger than the 32768 bytes"):
        spread_of(str(path))


def test_no_file_is_written_that_is_not_read_back() -> None:
    for varied in ({"payload": (0.2, 0.3)}, {"timestep": (0.005, 0.005)}):
        with pytest.raises(ValueError, match=r"payload: the value 0\.15|timestep takes single"):
            to_yaml(Spread(NOMINAL, varied))


def test_a_domain_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="nominal, pours, full or a file, got 'ful'"):
        spread_of("ful")


def test_the_page_says_what_the_domain_says() -> None:
    assert (Path(__file__).parents[2] / "docs/domain.md").read_text() == page()


def test_scenarios_of_one_seed_are_one() -> None:
    first, again = (sample_scenario(np.random.default_rng(3), FULL) for _ in range(2))
    assert repr(first) == repr(again)


def test_the_oldest_measurement_that_is_answered() -> None:
    assert oldest(POURS) == pytest.approx(0.04 + 0.05)
    assert oldest(FULL) == pytest.approx(0.10 + 0.03 + 0.05)
