"""What a person sees: on a terminal finals above and interims below, in a pipe finals alone."""

from __future__ import annotations

import os
import pty
import select
import sys
from io import TextIOWrapper

import pytest
from talkup_client.terminal import Terminal


def test_a_pipe_gets_finals_alone_whole_and_unwrapped(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    long = "word " * 60 + "end [b]not markup[/b]"
    with terminal.captions(on_stdout=True) as captions:
        captions.interim("may change")
        captions.final(61_000, long)
    with terminal.captions(on_stdout=False) as captions:
        captions.final(0, "for nobody")
    with terminal.meter("file", 100) as meter:
        meter.update(50, 1_000)
    terminal.say("a long message " * 20)
    out, err = capsys.readouterr()
    assert out == f"{long}\n"
    assert err == f"talkup: {'a long message ' * 20}\n"


def test_a_terminal_shows_an_interim_until_its_final(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    with TextIOWrapper(os.fdopen(theirs, "wb", buffering=0), encoding="utf-8", write_through=True) as screen:
        monkeypatch.setattr(sys, "stdout", screen)
        with Terminal().captions(on_stdout=True) as captions:
            captions.interim("hello wor")
            captions.final(61_000, "hello world")
        shown = ""
        while "01:01" not in shown or select.select([ours], [], [], 0)[0]:  # a terminal's bytes come in pieces
            assert select.select([ours], [], [], 5)[0]
            shown += os.read(ours, 65_536).decode()
    os.close(ours)
    _, _, after = shown.partition("hello world")
    assert "01:01" in shown
    assert after
    assert "hello" not in after


def shown_on(ours: int, *texts: str) -> str:
    """What a terminal has shown once all texts are there; its bytes arrive in pieces."""
    shown = ""
    while not all(text in shown for text in texts):
        assert select.select([ours], [], [], 5)[0], shown
        shown += os.read(ours, 65_536).decode()
    return shown


@pytest.mark.parametrize("is_piped", [False, True], ids=["one screen", "text in a pipe"])
def test_the_bar_follows_the_media_clock_and_text_stays_out_of_it(
    monkeypatch: pytest.MonkeyPatch, is_piped: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with TextIOWrapper(os.fdopen(theirs, "wb", buffering=0), encoding="utf-8", write_through=True) as screen:
        monkeypatch.setattr(sys, "stderr", screen)
        if not is_piped:
            monkeypatch.setattr(sys, "stdout", screen)
        terminal = Terminal()
        with terminal.meter("[b].wav", 1_000, 3_725.0) as meter:
            meter.update(1_000, 65_000)
            shown_on(ours, "[b].wav", "01:05 of 1:02:05")
            terminal.write("what was said\n")
            terminal.say("a message")
            meter.update(1_000, 95_000)
            shown = shown_on(ours, "01:35 of 1:02:05", *(() if is_piped else ("what was said",)))
        out = capsys.readouterr().out
    os.close(ours)
    assert out == ("what was said\n" if is_piped else "")
    assert ("what was said" in shown) is not is_piped


def test_without_a_duration_the_bar_follows_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with TextIOWrapper(os.fdopen(theirs, "wb", buffering=0), encoding="utf-8", write_through=True) as screen:
        monkeypatch.setattr(sys, "stderr", screen)
        with Terminal().meter("a.mp3", 1_000) as meter:
            meter.update(500, 7_000)
            assert " of " not in shown_on(ours, "a.mp3", "00:07")
    os.close(ours)
