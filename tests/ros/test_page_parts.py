"""The parts of the operator page, without ROS and without a browser."""

import itertools
import math
import re
from pathlib import Path

import mujoco
import numpy as np
import pytest

from sim.pouring.cell_model import guard_model_xml
from sim.pouring.gen3 import GEN3, JOINT_NAMES, NOMINAL_POSTURE
from spillguard_core.gate.reasons import Verdict
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_ros.operator import page_access, page_html, page_plots
from spillguard_ros.operator.page_feed import LONGEST_HISTORY, Feed
from spillguard_ros.operator.page_html import Reading
from spillguard_ros.operator.page_scene import CellKinematics, Sight, parts

TOKEN = "sixteen-or-longer-4711"
NOTHING: list[Reading] = []


def status(verdict: str = "PASS", reason: str = "OK", **more: str) -> dict[str, str]:
    return {"verdict": verdict, "reason": reason, "q_c": "0.2", "margin_critic": "0.5", **more}


# --- access


def test_only_the_token_itself_matches() -> None:
    token = page_access.Token(TOKEN)
    assert token.matches(TOKEN)
    assert token.matches(f" {TOKEN}\n")  # as read from a file or pasted
    assert not any(token.matches(text) for text in ("", TOKEN[:-1], TOKEN + "x", TOKEN.upper()))


@pytest.mark.parametrize("text", ["", "   ", "fifteen-letters", " " * 20, "x" * 5000])
def test_a_short_or_endless_token_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="needs at least 16"):
        page_access.Token(text)


def test_a_token_file_goes_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    environment = {page_access.TOKEN_VARIABLE: "of the environment"}
    assert page_access.given_token(str(file), environment) == (TOKEN, "of token")
    given = page_access.given_token("", environment)
    assert given == ("of the environment", f"of ${page_access.TOKEN_VARIABLE}")
    assert page_access.given_token("", {}) is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("192.168.1.5", False), ("localhost.example.org", False), ("", False)],
)  # fmt: skip
def test_loopback_is_known(host: str, expected: bool) -> None:
    assert page_access.is_loopback(host) is expected


@pytest.mark.parametrize(
    ("origin", "host", "loopback", "allowed"),
    [
        ("http://127.0.0.1:8090", "127.0.0.1:8090", True, True),
        ("http://localhost:9000", "localhost:9000", True, True),  # through an SSH tunnel
        (None, "127.0.0.1:8090", True, True),  # no browser
        ("http://evil.example", "127.0.0.1:8090", True, False),  # another site, open in the same browser
        ("http://evil.example:8090", "evil.example:8090", True, False),  # DNS rebinding to this machine
        ("null", "127.0.0.1:8090", True, False),
        ("http://robot.lab:8090", "robot.lab:8090", False, True),
        ("http://evil.example", "robot.lab:8090", False, False),
        ("http://robot.lab:8090", None, False, False),
    ],
)
def test_other_sites_are_known(origin: str | None, host: str | None, loopback: bool, allowed: bool) -> None:
    assert page_access.same_site(origin, host, loopback) is allowed


# --- feed


def test_silence_is_measured_from_the_start_and_from_the_last_message() -> None:
    feed = Feed(started=10.0)
    assert (feed.age("status", 14.0), feed.is_live("status", 10.1)) == (4.0, False)
    feed.status(status(), "PASS: ok", 15.0, 0.0)
    assert feed.is_live("status", 15.4)
    assert not feed.is_live("status", 15.6)
    assert feed.age("status", 18.0) == 3.0


def test_a_status_without_a_known_verdict_counts_as_silence() -> None:
    feed = Feed(started=0.0)
    for verdict in ("", "FINE", "pass"):
        feed.status(status(verdict), "", 1.0, 0.0)
    assert not feed.is_live("status", 1.0)
    assert not feed.spans


def test_changes_of_verdict_are_kept_with_their_reasons_and_silence_parts_them() -> None:
    feed = Feed(started=0.0)
    for now, verdict, reason in ((1.0, "PASS", "OK"), (1.2, "PASS", "OK"), (1.3, "HOLD", "PROPOSAL_STALE"),
                                 (1.4, "PASS", "OK"), (4.4, "PASS", "OK")):  # fmt: skip
        feed.status(status(verdict, reason), "", now, 0.0)
    assert [(s.verdict.name, s.reasons, s.start, s.end) for s in feed.spans] == [
        ("PASS", ("OK",), 1.0, 1.2), ("HOLD", ("PROPOSAL_STALE",), 1.3, 1.3), ("PASS", ("OK",), 1.4, 1.4),
        ("PASS", ("OK",), 4.4, 4.4),
    ]  # fmt: skip
    shown = page_html.history(feed)
    assert shown.count(">PASS<") == 3
    assert "no status for 3.0 s" in shown
    assert shown.index("no status") < shown.index("proposal stale")  # newest first


def fly(feed: Feed, script: list[tuple[str, str, int]], now: float = 0.0) -> float:
    """Feed verdict, reason and number of cycles of each; returns the time afterwards [s]."""
    for verdict, reason, cycles in script:
        for _ in range(cycles):
            now += 0.01
            feed.status(status(verdict, reason), "", now, now)
    return now


def test_pass_and_limit_that_take_turns_are_one_row_and_a_stop_among_them_is_kept() -> None:
    feed, turns = (
        Feed(started=0.0),
        [("LIMIT", "TILT_LIMIT", 5), ("PASS", "OK", 7), ("LIMIT", "COLLISION", 3)],
    )
    now = fly(feed, [("PASS", "OK", 300), *(200 * turns)])
    assert [s.verdict.name for s in feed.spans] == ["PASS", "LIMIT"]
    assert feed.spans[-1].reasons == ("TILT_LIMIT", "COLLISION")
    assert feed.spans[-1].changes == 600 - 1
    assert feed.newest is not None and feed.newest.reasons == ("COLLISION",)
    now = fly(feed, [("PASS", "OK", 10), ("STOP", "STATE_STALE", 1), ("LIMIT", "COLLISION", 1)], now)
    fly(feed, [("PASS", "OK", 250)], now)
    assert [(s.verdict.name, s.changes) for s in feed.spans] == [
        ("PASS", 0), ("LIMIT", 600), ("STOP", 0), ("LIMIT", 0), ("PASS", 0)
    ]  # fmt: skip
    spans = list(feed.spans)
    assert all(one.end <= other.start for one, other in itertools.pairwise(spans))
    assert spans[-1].end - spans[-1].start == pytest.approx(2.49)
    assert "on and off, 600 changes" in page_html.history(feed)


def test_the_banner_follows_every_change_that_the_history_leaves_out() -> None:
    feed = Feed(started=0.0)
    feed.note("joint_states", 0.0)
    now = fly(feed, [("PASS", "OK", 10), ("LIMIT", "COLLISION", 1)])
    assert ">LIMIT<" in page_html.banner(feed, now)
    now = fly(feed, [("PASS", "OK", 1)], now)
    assert ">PASS<" in page_html.banner(feed, now)
    assert ">LIMIT<" in page_html.history(feed)


@pytest.mark.parametrize(
    ("q_c", "threshold", "top"),
    [(0.02, 0.14, "0.2"), (0.9, 0.14, "1"), (0.3, 0.5, "0.6"), (0.001, 0.01, "0.02"), (1.0, 0.5, "1"),
     (math.nan, math.nan, "1")],
)  # fmt: skip
def test_the_axis_of_q_c_fits_what_is_drawn(q_c: float, threshold: float, top: str) -> None:
    feed = Feed(started=0.0)
    for step in range(3):
        more = {"q_c": str(q_c), "margin_critic": str(threshold - q_c)}
        feed.status(status(**more), "", 0.1 * step + 0.05, 0.0)
    shown = page_plots.critic_plot(feed, 0.3)
    labels = re.findall(r'text-anchor="end" fill="#6c757d">([0-9.]+)</text>', shown)
    assert labels == ["0", f"{0.5 * float(top):.2g}", top]


def test_a_tenth_of_a_second_shows_its_worst() -> None:
    feed = Feed(started=0.0)
    for now, verdict, q_c in ((1.01, "PASS", "0.1"), (1.02, "LIMIT", "0.9"), (1.03, "PASS", "nan")):
        feed.status(status(verdict, q_c=q_c, margin_critic=str(0.7 - float(q_c))), "", now, 0.0)
    (only,) = feed.bins
    assert (only.verdict, only.q_c) == (Verdict.LIMIT, 0.9)
    assert only.threshold == pytest.approx(0.7)  # Q_c plus its remaining margin


def test_what_is_kept_is_bounded() -> None:
    feed = Feed(started=0.0)
    for cycle in range(20_000):
        feed.status(status("PASS" if cycle % 2 else "HOLD"), "", 0.01 * cycle, 0.0)
    assert len(feed.spans) == LONGEST_HISTORY
    assert len(feed.bins) == 600
    longest = len(page_html.history(feed)) + len(page_plots.critic_plot(feed, 200.0))
    assert longest < 60_000  # bytes sent to a browser twice a second


# --- HTML


def test_in_shadow_the_banner_claims_no_verdict_over_the_arm() -> None:
    feed = Feed(started=0.0)
    feed.status(
        status(mode="shadow", speed="10 %"), "SHADOW: nothing is sent; it would be PASS: ok", 1.0, 0.0
    )
    banner = page_html.banner(feed, 1.0)
    assert ">SHADOW<" in banner and ">PASS<" not in banner
    assert "nothing here moves or stops the arm" in banner and "it would be PASS: ok" in banner
    assert "10 %" in page_html.figures(feed, NOTHING, 1.0)


def test_the_banner_shows_the_verdict_only_while_it_is_live() -> None:
    feed = Feed(started=0.0)
    feed.note("joint_states", 9.9)
    feed.status(status("LIMIT", "COLLISION", detail="asked"), "LIMIT: obstacle ahead", 9.9, 0.0)
    live, silent = page_html.banner(feed, 10.0), page_html.banner(feed, 22.3)
    assert ">LIMIT<" in live and "obstacle ahead" in live and page_html.ALARM not in live
    assert ">LIMIT<" not in silent and "obstacle ahead" not in silent
    assert "no status for 12.4 s" in silent and "no joint states for 12.4 s" in silent
    assert page_html.ALARM in silent
    assert "no status for 3.0 s" in page_html.banner(Feed(started=0.0), 3.0)


def test_figures_that_have_gone_silent_are_not_shown() -> None:
    feed = Feed(started=0.0)
    feed.note("load_cell/wrench", 5.0)
    feed.status(status(mode="following"), "", 5.0, 0.0)
    values = (np.array([0.0375]), np.array([0.002]), np.array([0.7, 0.1, 0.12]))
    seen = [Reading(s.title, s.kind, v, s.topic) for s, v in zip(POURING.sensors, values, strict=True)]
    live, silent = page_html.figures(feed, seen, 5.2), page_html.figures(feed, seen, 9.0)
    assert "following" in live and "38 g" in live
    assert "following" not in silent and "38 g" not in silent
    assert silent.count("silent for") == 9


def test_every_margin_of_a_status_is_shown() -> None:
    feed = Feed(started=0.0)
    feed.status(status(**{"margin_tilt [rad]": "0.0123", "margin_brand_new [m]": "0.5"}), "", 5.0, 0.0)
    shown = page_html.figures(feed, NOTHING, 5.2)
    assert "margin tilt" in shown and "0.012 rad" in shown
    assert "margin brand new" in shown and "0.500 m" in shown


def test_text_from_the_graph_is_escaped() -> None:
    feed, evil = Feed(started=0.0), "<script>alert(1)</script>"
    more = {"detail": evil, "mode": evil, "recorder": evil, "late_cycles": evil}
    feed.status(status("STOP", evil, **more), f"STOP: {evil}", 1.0, 0.0)
    page = page_html.banner(feed, 1.0) + page_html.figures(feed, NOTHING, 1.0) + page_html.history(feed)
    assert "<script" not in page + page_html.note(evil, True)
    assert "&lt;script" in page


def test_the_curve_of_q_c_breaks_where_the_critic_was_not_asked() -> None:
    feed = Feed(started=0.0)
    for step in range(30):
        asked = not 10 <= step < 20
        feed.status(status(q_c="0.2" if asked else "nan"), "", 0.1 * step + 0.05, 0.0)
    assert page_plots.critic_plot(feed, 3.0).count('stroke="#c2185b"') == 2


# --- the cell in 3D


def test_every_geom_is_drawn_where_mujoco_has_it() -> None:
    model = mujoco.MjModel.from_xml_string(guard_model_xml())
    data, shapes, cell = mujoco.MjData(model), parts(model), CellKinematics(model, GEN3, POURING)
    rim = np.array([0.61, -0.12, 0.12])
    joints = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in JOINT_NAMES]
    data.qpos[model.jnt_qposadr[joints]] = NOMINAL_POSTURE
    before = model.body_pos.copy()
    poses = cell.poses(NOMINAL_POSTURE, rim, Sight.NOW, Sight.NOW)
    assert (model.body_pos == before).all()  # the model is shared with others
    model.body_pos[cell.receiver, :2] = rim[:2]
    mujoco.mj_kinematics(model, data)
    drawn = {body: [] for body in range(model.nbody)}  # type: ignore[var-annotated]
    for part in shapes:
        rotation = np.empty(9)
        mujoco.mju_quat2Mat(rotation, poses.quaternion[part.body])
        drawn[part.body].append(part.vertices @ rotation.reshape(3, 3).T + poses.position[part.body])
    for geom in range(model.ngeom):
        points = np.vstack(drawn[int(model.geom_bodyid[geom])])
        away = np.linalg.norm(points - data.geom_xpos[geom], axis=1)
        # The farthest point, a box's corner or a capsule's tip, is at MuJoCo's rbound.
        assert np.abs(away - model.geom_rbound[geom]).min() < 2e-3
    assert sum(len(shape.faces) for shape in shapes) > 12 * model.ngeom - 1


def test_a_geom_that_cannot_be_drawn_is_named() -> None:
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><asset><mesh name="m" vertex="0 0 0 1 0 0 0 1 0 0 0 1"/></asset>'
        '<worldbody><geom name="fixture" type="mesh" mesh="m"/></worldbody></mujoco>'
    )
    with pytest.raises(ValueError, match="'fixture' is a mjGEOM_MESH"):
        parts(model)


def test_only_what_was_measured_counts_as_seen() -> None:
    model = mujoco.MjModel.from_xml_string(guard_model_xml())
    cell = CellKinematics(model, GEN3, POURING)
    poses = cell.poses(None, None, Sight.NEVER, Sight.ONCE)
    names = {name: mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name)
             for name in ("base_link", "shoulder_link", "cup", "receiver", "table")}  # fmt: skip
    assert {name: cell.sight(body, poses) for name, body in names.items()} == {
        "base_link": Sight.NOW, "shoulder_link": Sight.NEVER, "cup": Sight.NEVER, "receiver": Sight.ONCE,
        "table": Sight.NOW,
    }  # fmt: skip
