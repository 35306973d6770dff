"""The operator page in one browser: its own widgets, its own scene, its own lock.

Browsers share only what is displayed. The lock is a field of this object, which the browser cannot reach, and
every callback checks it again: what a browser shows or hides is not a safeguard.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence

import viser

from spillguard_ros.operator import page_html, page_plots
from spillguard_ros.operator.page_access import Access, is_guess
from spillguard_ros.operator.page_feed import Feed
from spillguard_ros.operator.page_html import Reading
from spillguard_ros.operator.page_scene import CellKinematics, CellView, Part, Poses

STOP, OTHERS = "stop", ("hold", "resume", "reset")
PLOT_EVERY = 5  # every this many drawings
PANEL, PLOTS = 350, 430  # [px] widths
STYLE = """<style>
div:has(> .sg-stop-next) + div > button {height: 5.5rem !important}
div:has(> .sg-stop-next) + div > button span {font-size: 2.2rem; font-weight: 800 !important}
div:has(> .sg-group-next) + div > div > div:first-child {display: none}
div:has(> .sg-group-next) + div button {height: 2.4rem !important; font-size: 1rem}
div:has(> .sg-token-next) + div input {-webkit-text-security: disc}
</style>"""
NEXT_GROUP = '<span class="sg-group-next"></span>'
Press = Callable[[str, int], None]


class ClientPage:
    """Created when a browser connects. The server's receiving thread calls the callbacks, one at a time; the
    node's thread draws."""

    def __init__(
        self, client: viser.ClientHandle, address: str, access: Access, press: Press,
        cell: tuple[list[Part], CellKinematics], looking_is_free: bool,
    ) -> None:  # fmt: skip
        """`address` of the browser; `press` is called with the service name and the client's number, and only
        if unlocked."""
        self.client, self.address = client, address
        self._access, self._press, self._cell = access, press, cell
        self.unlocked, self._checking, self._complete = False, False, False
        self._scene: CellView | None = None
        self._drawings = 0
        gui = client.gui
        gui.main_panel.dock_right()
        gui.main_panel.set_width(PANEL)
        gui.add_html(STYLE)
        self._add_buttons(gui)  # first, so that nothing above STOP can move it
        self._figures = gui.add_html("", visible=looking_is_free)
        if looking_is_free:
            self._open_view()

    def _add_buttons(self, gui: viser.GuiApi) -> None:
        gui.add_html('<span class="sg-stop-next"></span>')
        stop = gui.add_button("STOP", color=(198, 20, 20))  # never disabled, whatever the monitor's state
        stop.on_click(self._on_stop)
        gui.add_html(page_html.caption("asks the monitor to stop; it is no emergency stop") + NEXT_GROUP)
        others = gui.add_button_group("", OTHERS)
        others.on_click(self._on_other)
        self._note = gui.add_html(page_html.note("Looking only: enter the token to use the buttons.", True))
        gui.add_html('<span class="sg-token-next"></span>')
        self._entry = gui.add_text("token", "")
        self._enter = gui.add_button("unlock")
        self._entry.on_update(self._on_entry)
        self._enter.on_click(self._on_enter)

    # Coroutines run in the receiving thread, one after the other: presses keep their order and their names.
    # The threads that viser starts for other callbacks have a queue without end, in which a STOP would wait.
    async def _on_entry(self, event: viser.GuiEvent[viser.GuiTextHandle]) -> None:
        del event
        await self._try(complete=False)

    async def _on_enter(self, event: viser.GuiEvent[viser.GuiButtonHandle]) -> None:
        del event
        await self._try(complete=True)

    async def _on_stop(self, event: viser.GuiEvent[viser.GuiButtonHandle]) -> None:
        del event
        self._ask(STOP)

    async def _on_other(self, event: viser.GuiEvent[viser.GuiButtonGroupHandle]) -> None:
        self._ask(str(event.target.value))

    def _open_view(self) -> None:
        gui = self.client.gui
        panel = gui.add_panel()
        panel.dock_left()
        panel.set_width(PLOTS)
        with panel.add_tab("Live"):
            gui.add_html(page_html.age(secrets.token_hex(8)))
            self._banner = gui.add_html("")
            self._critic = gui.add_html("")
            self._verdicts = gui.add_html("")
            self._history = gui.add_html("")
        self._figures.visible = True
        self._scene = CellView(self.client.scene, *self._cell)

    def _ask(self, service: str) -> None:
        if not self.unlocked or service not in (STOP, *OTHERS):
            self.tell(f"{service} refused: enter the token first. Nothing was done.", False)
            return
        self._press(service, self.client.client_id)

    async def _try(self, complete: bool) -> None:
        """The token typed so far, reported as wrong only once the person marks it as `complete`. While one
        try waits for its turn there is no other: it is the newest text that is looked at then."""
        self._complete = (self._complete or complete) and not self.unlocked
        if self.unlocked or self._checking or not (complete or is_guess(self._entry.value)):
            return
        self._checking = True
        try:
            wait = self._access.guesses.wait(self.address)
            if wait > 0.0:
                self.tell(f"Too many wrong tokens: this one is looked at in {wait:.1f} s.", False)
                await asyncio.sleep(wait)
            self._look()
        finally:
            self._checking = self._complete = False

    def _look(self) -> None:
        who = f"client {self.client.client_id} ({self.address})"
        if self._access.token.matches(self._entry.value):
            self._access.guesses.right(self.address)
            self.unlocked = True
            self._entry.value = ""  # type: ignore[misc]
            self._entry.visible = self._enter.visible = False
            self._access.note(f"unlocked by {who}, token {self._access.token.name}")
            self.tell("Unlocked for this browser window, until it is closed or reloaded.", True)
            return
        self._access.guesses.wrong(self.address)
        if self._complete:
            self._access.note(f"a wrong token was entered by {who}")
            self.tell("That is not the token. It was printed where the page was started.", False)

    def tell(self, text: str, good: bool) -> None:
        """Show the result of a button, with the time."""
        self._note.content = page_html.note(f"{time.strftime('%H:%M:%S')}  {text}", good)

    def draw(self, feed: Feed, seen: Sequence[Reading], poses: Poses, now: float) -> None:
        """Draw once; `now` as in `Feed`."""
        if self._scene is None:
            if not self.unlocked:
                return
            self._open_view()
        with self.client.atomic():
            self._banner.content = page_html.banner(feed, now)
            if self._scene is not None:
                self._scene.draw(poses)
            if self._drawings % PLOT_EVERY == 0:
                self._figures.content = page_html.figures(feed, seen, now)
                self._critic.content = page_plots.critic_plot(feed, now)
                self._verdicts.content = page_plots.verdict_plot(feed, now)
                self._history.content = page_html.history(feed)
        self._drawings += 1
