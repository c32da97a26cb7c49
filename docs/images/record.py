"""Makes onboard.svg and profile.svg from a real session: tmux shows the terminal, rich draws what it showed.

Run from the project's root, with tmux installed: .venv/bin/python docs/images/record.py
"""

import io
import re
import subprocess
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from prefq.pool.starter import declared_levels
from prefq.storage.sql import SqlStore
from prefq.vocabulary import parse_question_id

FOLDER = Path(__file__).parent
WIDTH, HEIGHT = 112, 30
N_QUESTIONS = 10
TASTE = (-3.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 2.0)  # someone who likes answers brief, warm and playful


def tmux(*arguments: str) -> str:
    """Output of one tmux command on a server of our own."""
    command = ["tmux", "-L", "prefq-picture", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def screen(until: str) -> str:
    """The screen with its colours, once it shows `until`."""
    for _ in range(200):
        if until in tmux("capture-pane", "-p", "-t", "picture"):
            return tmux("capture-pane", "-e", "-p", "-t", "picture")
        time.sleep(0.05)
    raise TimeoutError(f"the screen never showed {until!r}:\n{tmux('capture-pane', '-p', '-t', 'picture')}")


def draw(shown: str, name: str, title: str) -> None:
    """Write a screen as an SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text.from_ansi(shown.rstrip()))
    svg = re.sub(r"@font-face \{.*?\}\n", "", console.export_svg(title=title), flags=re.DOTALL)  # fonts from elsewhere
    (FOLDER / name).write_text(svg.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas"), encoding="utf-8")


def key_for(store: str) -> str:
    """1 or 2, whichever response of the open question was written more to this taste."""
    with SqlStore.open(store) as opened:
        session = opened.load_session(opened.list_sessions()[0].id)
    first, second = parse_question_id(session.state.open_question or "")
    liking = declared_levels() @ TASTE
    return "1" if liking[first] > liking[second] else "2"


def main() -> None:
    """Play a session and draw its fourth question and its profile."""
    with tempfile.TemporaryDirectory() as folder:
        size, store = ("-x", str(WIDTH), "-y", str(HEIGHT)), f"{folder}/store.db"
        command = "COLORTERM=truecolor .venv/bin/prefq onboard --user ada --seed 1; sleep 60"
        tmux("new-session", "-d", "-s", "picture", *size, "-e", f"PREFQ_STORE={store}", command)
        try:
            for number in range(1, N_QUESTIONS + 1):
                shown = screen(f"{number} of {N_QUESTIONS}")
                if number == 4:
                    draw(shown, "onboard.svg", "prefq onboard")
                tmux("send-keys", "-t", "picture", key_for(store))
            screen("est what")  # the offer to test what was learned
            tmux("send-keys", "-t", "picture", "n")
            draw(screen("profile export"), "profile.svg", "prefq onboard: the profile")
        finally:
            tmux("kill-server")


if __name__ == "__main__":
    main()
