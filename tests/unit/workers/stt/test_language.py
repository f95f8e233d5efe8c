"""The language of a stream's segments: decided for each among those expected, kept where little was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from talkup.v1 import transcript_pb2

from tests.unit.workers.stt.toys import Floats, hear_voice, speak, transcribe
from workers.engine import EngineError
from workers.stt import events
from workers.stt.decode_job import Effort, StreamOptions
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.language import LanguageQuestion, choose_language
from workers.stt.options import stream_options
from workers.stt.recognizer import Recognizer
from workers.stt.state import RecognizerState
from workers.stt.tuning import Tuning

EFFORT = Effort(1.5, 5, extra_interims=False)
HEARD = [("de", 0.5), ("fr", 0.3), ("en", 0.15), ("es", 0.05)]
SILENCE = [0, 0, 0]


@pytest.mark.parametrize(
    ("question", "chosen"),
    [
        (LanguageQuestion(), ("de", 0.5)),
        (LanguageQuestion(("en", "fr")), ("fr", 2 / 3)),
        (LanguageQuestion(("en", "fr"), "en", 0.8), ("en", 1 / 3)),
        (LanguageQuestion(("en", "fr"), "en", 0.6), ("fr", 2 / 3)),
        (LanguageQuestion(("fr", "xx"), "xx", 0.9), ("fr", 1.0)),
    ],
)
def test_a_language_is_chosen_among_those_expected(question: LanguageQuestion, chosen: tuple[str, float]) -> None:
    language, probability = choose_language(HEARD, question)
    assert (language, pytest.approx(probability)) == chosen


def bilingual(sureness: float) -> object:
    """Words from 100 on are French; `sureness` of what is really spoken."""

    def run(request: DecodeRequest) -> Hypothesis:
        if request.language is not None:
            return transcribe(request)
        spoken = np.round(request.audio * 1000)
        real, other = ("fr", "en") if (spoken >= 100).sum() > (spoken[spoken > 0] < 100).sum() else ("en", "fr")
        language, certainty = choose_language([(real, sureness), (other, 1 - sureness)], request.question)
        return replace(transcribe(request), language=language, language_probability=certainty)

    return run


def recognise(
    audio: Floats, options: StreamOptions, sureness: float = 0.9, saved: RecognizerState | None = None
) -> list[events.Event]:
    heard = Recognizer(hear_voice, Tuning(), options, saved)
    heard.append_samples(audio[saved.replay_from if saved else 0 :])
    heard.end()
    run = bilingual(sureness)
    said: list[events.Event] = []
    while (job := heard.advance(EFFORT)) is not None:
        heard.apply(job, run(job.request))  # type: ignore[operator]
        said += heard.pop_events()
    return said + heard.pop_events()


def languages(said: Sequence[events.Event]) -> list[str]:
    """Of every final word."""
    return [event.language for event in said if isinstance(event, events.Final) for _ in event.words]


BOTH = StreamOptions(languages=("en", "fr"), interims=False)
INTERVIEW = speak(*range(1, 9), *SILENCE, *range(101, 109), *SILENCE, *range(11, 19), *SILENCE)


def test_each_segment_has_its_own_language_where_several_are_expected() -> None:
    assert languages(recognise(INTERVIEW, BOTH)) == ["en"] * 8 + ["fr"] * 8 + ["en"] * 8


def test_without_a_list_the_first_language_stays() -> None:
    assert set(languages(recognise(INTERVIEW, StreamOptions(interims=False)))) == {"en"}


@pytest.mark.parametrize(("sureness", "answer"), [(0.95, "en"), (0.995, "fr")])
def test_a_one_word_answer_keeps_the_language_unless_the_evidence_is_strong(sureness: float, answer: str) -> None:
    audio = speak(*range(1, 9), *SILENCE, 101, *SILENCE, *range(11, 19), *SILENCE)
    assert languages(recognise(audio, BOTH, sureness)) == ["en"] * 8 + [answer] + ["en"] * 8


def test_a_segment_keeps_its_language_to_its_end() -> None:
    """No silence parts the two speakers: the second one is heard in the language of the first."""
    said = languages(recognise(speak(*range(1, 9), *range(101, 109), *SILENCE), BOTH))
    assert set(said) == {"en"}


def test_a_stream_moved_at_any_report_has_the_same_languages() -> None:
    whole = recognise(INTERVIEW, BOTH)
    for index, event in enumerate(whole):
        if isinstance(event, events.Committed):
            saved = msgspec.msgpack.decode(msgspec.msgpack.encode(event.state), type=RecognizerState)
            rest = recognise(INTERVIEW, BOTH, saved=saved)
            assert finals(whole[: index + 1]) + finals(rest) == finals(whole)


def finals(said: Sequence[events.Event]) -> list[events.Final]:
    return [event for event in said if isinstance(event, events.Final)]


def options_of(**speech: object) -> StreamOptions:
    made = transcript_pb2.SpeechOptions(**speech)  # type: ignore[arg-type]
    return stream_options(made, ("en", "fr", "no"), lambda text: tuple(map(ord, text)))


def test_expected_languages_are_read_as_tags() -> None:
    assert options_of(languages=["en-GB", "fr", "EN", "nb"]).languages == ("en", "fr", "no")
    alone = options_of(language="auto", languages=["fr"])
    assert (alone.language, alone.languages) == ("fr", ())


@pytest.mark.parametrize(
    "speech",
    [{"languages": ["en", "xx"]}, {"languages": ["en"] * 11}, {"language": "en", "languages": ["en", "fr"]}],
)
def test_a_list_that_cannot_be_served_is_refused(speech: dict[str, object]) -> None:
    with pytest.raises(EngineError) as caught:
        options_of(**speech)
    assert caught.value.field == "speech.languages"
