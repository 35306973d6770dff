"""How the operator page starts, and when it refuses to."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from spillguard_sim.graph import private_environment
from tests.ros.browser import free_port
from tests.ros.harness import PATIENCE, MakeStage

ROOT = Path(__file__).parents[2]


def ended(make_stage: MakeStage, **parameters: object) -> str:
    """Output of a page that refuses to start."""
    with make_stage() as stage:
        stage.start("operator_page", **parameters)
        assert stage.graph.wait("operator_page", PATIENCE) == 1
        return stage.graph.log("operator_page").read_text()


def test_a_short_token_is_refused_beyond_loopback(make_stage: MakeStage, tmp_path: Path) -> None:
    short = tmp_path / "token"
    short.write_text("short")
    short.chmod(0o600)
    for host in ("0.0.0.0", "127.0.0.1"):
        printed = ended(make_stage, host=host, port=free_port(), token_file=short)
        assert "the token has 5 characters, it needs at least 16" in printed


def test_the_verb_hands_its_options_on(orbit_bundle: Path, tmp_path: Path) -> None:
    short = tmp_path / "token"
    short.write_text("brief")
    short.chmod(0o600)
    options = {"bundle": orbit_bundle, "host": "0.0.0.0", "port": free_port(), "token-file": short}
    command = [sys.executable, "-m", "spillguard.cli", "page", "--namespace", "left"]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    environment = {**os.environ, **private_environment()}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1
    assert "the token has 5 characters" in done.stdout + done.stderr
    assert "[left.operator_page]" in done.stdout + done.stderr


def test_a_token_file_for_all_to_read_is_refused(make_stage: MakeStage, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("long-enough-for-a-token")
    file.chmod(0o644)
    assert "chmod 600" in ended(make_stage, port=free_port(), token_file=file)


def test_a_port_that_is_taken_is_refused(make_stage: MakeStage) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        printed = ended(make_stage, port=port)
    assert f"cannot listen on 127.0.0.1 port {port}" in printed


def test_a_made_token_is_printed_once_and_differs_from_run_to_run(make_stage: MakeStage) -> None:
    tokens = set()
    for _ in range(2):
        with make_stage() as stage:
            stage.start("operator_page", port=free_port())
            log = stage.graph.log("operator_page")
            stage.until(lambda log=log: "token  " in log.read_text(), PATIENCE, "a token")  # type: ignore[misc]
            (line,) = [line for line in log.read_text().splitlines() if line.startswith("token ")]
            tokens.add(line.split()[1])
    assert len(tokens) == 2
    assert min(map(len, tokens)) >= 22  # 128 bits
