"""What a file of a sweep asks for."""

from pathlib import Path

import pytest

from policy_training.sweeps.spec import Spec, read_spec
from policy_training.train import parse

NAV = "env: spillguard/Nav2D-v0"


def spec(folder: Path, grid: str, seeds: str = "[1, 2]", more: str = "") -> Spec:
    """Of this text."""
    path = folder / "spec.yaml"
    path.write_text(f"schema: 1\nseeds: {seeds}\ngrid:\n{grid}\n{more}")
    return read_spec(path)


def test_a_grid_is_every_option_with_every_other_seed_by_seed(tmp_path: Path) -> None:
    found = spec(
        tmp_path, f"  algo: [sac_lag, meta_sac_lag]\n  {NAV}\n  steps: 300\n  initial-nu: [0.02, 0.1]"
    )
    told = [(c.label, c.config.seed, c.config.algorithm.initial_nu) for c in found.cells]
    one = [("sac_lag, initial-nu 0.02", 0.02), ("sac_lag, initial-nu 0.1", 0.1)]
    one += [("meta_sac_lag, initial-nu 0.02", 0.02), ("meta_sac_lag, initial-nu 0.1", 0.1)]
    assert told == [(label, seed, eps) for seed in (1, 2) for label, eps in one]
    assert {c.config.loop.steps for c in found.cells} == {300}


def test_a_cell_is_what_train_makes_of_the_same_words(tmp_path: Path) -> None:
    grid = f"  algo: sac_lag\n  {NAV}\n  hidden: 32 32\n  steps: 300\n  env_processes: true"
    (cell,) = spec(tmp_path, grid, "[7]").cells
    words = "--algo sac_lag --env spillguard/Nav2D-v0 --hidden 32 32 --steps 300 --env-processes --seed 7"
    args, config = parse(words.split()), cell.config
    assert config.loop == args.loop and config.memory == args.memory
    assert config.algorithm == args.algorithm
    assert (config.seed, cell.label) == (7, "sac_lag")


def test_grids_of_a_list_are_joined_and_a_list_in_a_list_is_one_value(tmp_path: Path) -> None:
    grid = f"  - {{algo: sac, {NAV}, hidden: [[32, 32], [64]]}}\n  - {{algo: ppo_lag, {NAV}}}"
    found = spec(tmp_path, grid, "[1]")
    assert [(c.label, c.config.algorithm.hidden) for c in found.cells][:2] == [
        ("sac, hidden 32 32", (32, 32)), ("sac, hidden 64", (64,)),
    ]  # fmt: skip
    assert found.cells[2].label == "ppo_lag"


@pytest.mark.parametrize(
    ("grid", "seeds", "more", "words"),
    [
        (f"  {NAV}\n  stepz: 300", "[1]", "", "--stepz"),
        (f"  {NAV}\n  steps: many", "[1]", "", "steps"),
        (f"  {NAV}\n  steps: -1", "[1]", "", "steps"),
        (f"  {NAV}\n  algo: saac", "[1]", "", "saac"),
        ("  env: spillguard/Nav3D-v0", "[1]", "", "Nav3D"),
        (f"  {NAV}\n  steps:", "[1]", "", "steps is None; allowed are a value or a list"),
        (f"  {NAV}\n  steps: []", "[1]", "", "steps is []"),
        (f"  {NAV}\n  seed: 3", "[1]", "", "seed cannot be set here; seeds stand beside the options"),
        (f"  {NAV}\n  runs: /", "[1]", "", "runs cannot be set here"),
        (f"  {NAV}\n  steps: [300, 300]", "[1]", "", "asked for twice, or cannot be told apart"),
        (f"  {NAV}", "[1, 1]", "", "list of different whole numbers"),
        (f"  {NAV}", "[]", "", "list of different whole numbers"),
        (f"  {NAV}", "[true]", "", "list of different whole numbers"),
        (f"  {NAV}", "3", "", "list of different whole numbers"),
        ("  []", "[1]", "", "ask for 0 runs"),
        ("  3", "[1]", "", "needed are options of"),
        (f"  {NAV}", "[1]", "worker: 3", "allowed are schema, title"),
        (f"  {NAV}", "[1]", "baseline: sac", "baseline is 'sac'; allowed are meta_sac_lag"),
        (f"  {NAV}\n  steps: 300\n  steps: 400", "[1]", "", "the key 'steps' a second time"),
        (f"  {NAV}\n  log-every: 300\n  log_every: 400", "[1]", "", "an option is there twice"),
        (f"  {NAV}\n  steps: [[100, -h]]", "[1]", "", "asks for help"),
        (f"  {NAV}\n  training-env: {{walls: 3}}", "[1]", "", "does not take"),
        (f"  - {{{NAV}}}\n  - {{algo: meta_sac_lag, {NAV}}}", "[1]", "", "asked for twice"),
        (f"  {NAV}\n  steps: {list(range(100, 6000))}", "[1]", "", "5900 runs; allowed are 1 to 5000"),
        (f"  {NAV}", "[99999999999999999999]", "", "list of different whole numbers"),
        (f"  {NAV}", "[1", "", "expected"),
    ],
)
def test_a_file_that_asks_for_what_cannot_be_is_refused_with_its_name(
    tmp_path: Path, grid: str, seeds: str, more: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words.replace("[", r"\[")) as told:
        spec(tmp_path, grid, seeds, more)
    assert str(told.value).startswith(str(tmp_path / "spec.yaml"))


def test_options_in_common_names_with_values_and_truth_are_as_they_are_meant(tmp_path: Path) -> None:
    grid = "  - {algo: sac}\n  - {algo: sac_lag, eps: 1e-3}"
    more = "common: {env: spillguard/PourCoffee-v0, steps: 300, pretrain: 0, domain: nominal}\ntitle:\n"
    found = spec(tmp_path, grid, "[1]", more)
    assert found.title == "Sweep" and [cell.label for cell in found.cells] == ["sac", "sac_lag"]
    for cell in found.cells:
        assert (cell.config.loop.training_env["domain"], cell.config.loop.steps) == ("nominal", 300)
    assert found.cells[1].config.algorithm.eps == 1e-3
    grid = f"  {NAV}\n  algo: ppo_lag\n  cost-limits: {{obstacle: 0.1, arena: 0.05}}"
    limits = spec(tmp_path, grid, "[1]").cells[0].config.algorithm.cost_limits
    assert limits == (("obstacle", 0.1), ("arena", 0.05))
    words = "--env spillguard/Nav2D-v0 --training-env a True b False c 1 d x"
    assert parse(words.split()).loop.training_env == {"a": True, "b": False, "c": 1.0, "d": "x"}


def test_points_of_the_same_algorithm_differ_in_their_labels(tmp_path: Path) -> None:
    grid = f"  - {{{NAV}, initial-nu: 0.5, steps: 200}}\n  - {{algo: [[meta_sac_lag]], {NAV}, steps: 300}}"
    found = spec(tmp_path, grid, "[1]")
    assert [c.label for c in found.cells] == [
        "meta_sac_lag, initial-nu 0.5, steps 200",
        "meta_sac_lag, steps 300",
    ]


def test_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(f"schema: 2\nseeds: [1]\ngrid: {{{NAV}}}\n")
    with pytest.raises(ValueError, match="schema is 2; this version reads 1"):
        read_spec(tmp_path / "s.yaml")
