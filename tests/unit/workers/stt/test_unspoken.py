"""Words without audio are cut from a hypothesis before anything compares with it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.workers.stt.toys import hear_voice
from workers.stt import events
from workers.stt.decode_job import Effort, StreamOptions
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.recognizer import Recognizer
from workers.stt.tuning import FRAME, Tuning, samples
from workers.stt.unspoken import cut_unspoken
from workers.stt.window import VoiceTrack
from workers.stt.words import Word, join_words

EFFORT = Effort(1.5, 5, extra_interims=False)


def track(*voiced: tuple[float, float], seconds: float = 10.0) -> VoiceTrack:
    """A voice between these times, in seconds."""
    made = VoiceTrack()
    for frame in range(samples(seconds) // FRAME):
        middle = (frame + 0.5) * FRAME / 16_000
        made.append(1.0 if any(start <= middle < end for start, end in voiced) else 0.0)
    return made


def placed(*words: tuple[str, float, float]) -> list[Word]:
    return [Word(" " + text, samples(start), samples(end), 0.5) for text, start, end in words]


def spread(text: str, start: float, end: float) -> list[Word]:
    """Words one after the other, all of one length."""
    each = (end - start) / len(text.split())
    return placed(*((word, start + i * each, start + (i + 1) * each) for i, word in enumerate(text.split())))


def left(words: list[Word], voice: VoiceTrack) -> str:
    return join_words(cut_unspoken(words, voice, 0.35))


VOICE = track((0.0, 10.0))


def test_a_second_copy_piled_up_at_the_end_is_cut() -> None:
    """As tiny.en hears a window that ends in mid-phrase."""
    heard = [
        *placed(("6", 0.0, 0.34), ("spoons", 0.34, 0.76), ("of", 0.76, 1.06), ("fresh", 1.06, 1.42)),
        *placed(("5", 2.78, 3.06), ("thick", 3.06, 3.34), ("slabs", 3.34, 3.66), ("of", 3.66, 3.92)),
        *placed(("blue", 3.92, 4.18), ("cheese.", 4.18, 4.48)),
        *placed(*((word, 4.48, 4.48) for word in ["5", "thick", "slabs", "of", "blue", "cheese."])),
    ]
    assert left(heard, VOICE) == "6 spoons of fresh 5 thick slabs of blue cheese."


def test_a_copy_whose_last_word_reaches_into_the_silence_is_cut_whole() -> None:
    first = spread("five thick slabs of blue cheese.", 1.3, 2.66)
    second = [
        *placed(*((word, 2.66, 2.66) for word in ["five", "thick", "slabs", "of", "blue"]), ("cheese.", 2.66, 2.98))
    ]
    assert left([*first, *second], VOICE) == join_words(first)


@pytest.mark.parametrize("copies", [2, 3])
def test_a_phrase_is_said_once_where_the_voice_has_no_room_for_another(copies: int) -> None:
    """The alignment gives the second copy the silence behind the voice, where nobody speaks."""
    heard = spread("and so my fellow americans", 0.3, 2.0)
    for copy in range(1, copies):
        heard += spread("And so, my fellow Americans.", 1.1 + copy, 2.0 + copy)
    assert left(heard, track((0.3, 2.06))) == "and so my fellow americans"


def test_a_first_copy_without_voice_is_cut_and_the_second_stays() -> None:
    heard = [*spread("so be it", 0.0, 0.6), *spread("So be it.", 1.0, 1.6)]
    assert left(heard, track((0.96, 2.0))) == "So be it."


def test_what_was_said_twice_stays() -> None:
    refrain = [*spread("row row row your boat", 0.0, 1.5), *spread("row row row your boat", 1.5, 3.0)]
    assert left(refrain, VOICE) == join_words(refrain)
    fast = spread("no no no no no no", 0.0, 0.6)
    assert left(fast, VOICE) == join_words(fast)


def test_quick_words_and_one_without_length_stay() -> None:
    """The end of a phrase by a quick speaker, whose last word the window's end cuts off."""
    heard = [*spread("gold at the end of the", 3.7, 4.48), *placed(("rest.", 4.48, 4.48))]
    assert left(heard, VOICE) == join_words(heard)
    assert left([Word(" no"), Word(" times"), Word(" here"), Word(" yet")], VOICE) == "no times here yet"


SPOKEN = "six spoons of fresh peas five thick slabs of blue cheese and maybe a snack for her brother"
PHRASE = SPOKEN.split(" ")
EACH = 0.35


def loops_once(request: DecodeRequest) -> Hypothesis:
    """Hears what was said so far; at a window of 4.5 s says the last phrase twice, the copy in no time at all."""
    seconds = len(request.audio) / 16_000
    heard = [word for word in spread(SPOKEN, 0.0, EACH * len(PHRASE)) if word.end <= len(request.audio)]
    if 4.4 < seconds < 4.6:
        end = heard[-1].end
        heard += [Word(word.text, end, end, 0.3) for word in heard[4:]]
    return Hypothesis(tuple(heard), -0.3, 0.0, False, "en")


def final_words(recognizer: Recognizer) -> list[Word]:
    return [word for event in recognizer.pop_events() if isinstance(event, events.Final) for word in event.words]


def test_the_hypotheses_after_a_loop_are_believed_and_nothing_is_lost_or_doubled() -> None:
    heard = Recognizer(hear_voice, Tuning(sure=2.0, held_share=1.0), StreamOptions("en", interims=False))
    voice = np.full(samples(EACH * len(PHRASE)), 0.5, np.float32)
    heard.append_samples(np.concatenate([voice, np.zeros(samples(1.2), np.float32)]))
    heard.end()
    said: list[Word] = []
    while (job := heard.advance(EFFORT)) is not None:
        heard.apply(job, loops_once(job.request))
        said += final_words(heard)
    said += final_words(heard)
    assert join_words(said).split() == PHRASE
    assert heard.counters.unspoken_words == 8
    assert heard.counters.rejected == 0
