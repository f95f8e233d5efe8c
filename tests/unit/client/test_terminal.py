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
