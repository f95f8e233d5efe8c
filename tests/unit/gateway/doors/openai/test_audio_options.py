"""What a form asks for: the stream that it starts, its warnings, its refusals."""

from __future__ import annotations

import pytest

from gateway.doors.openai.languages import NAMES, code_of, name_of
from gateway.doors.openai.options import MAX_PROMPT, recorded
from gateway.doors.steps import RefusedError
from gateway.protocol.negotiation import StreamSpec, negotiate

MODEL = ("model", "whisper-1")


def test_the_defaults_are_openais() -> None:
    wishes = recorded([MODEL])
    assert (wishes.response_format, wishes.granularities, wishes.is_streamed) == ("json", ("segment",), False)
    assert (wishes.start.mode, wishes.start.language, wishes.start.format) == ("file", "auto", "audio")
    assert [name for name, _ in wishes.warnings] == ["model"]
    assert isinstance(negotiate(wishes.start, "s"), StreamSpec)


def test_lists_come_with_and_without_brackets() -> None:
    wishes = recorded(
        [("keywords[]", "TalkUp"), ("keywords", "gRPC"), ("languages[]", "de"), ("languages[]", "French")]
    )
    assert wishes.start.hotwords == ["TalkUp", "gRPC"]
    assert wishes.start.languages == ["de", "fr"]


def test_only_the_end_of_a_long_prompt_counts_and_a_warning_says_so() -> None:
    wishes = recorded([("prompt", "a" + "b" * MAX_PROMPT)])
    assert wishes.start.initial_prompt == "b" * MAX_PROMPT
    assert [name for name, _ in wishes.warnings] == ["prompt"]


def test_what_is_not_followed_is_named() -> None:
    fields = [("temperature", "0.4"), ("chunking_strategy[type]", "server_vad"), ("user", "x"), ("made_up", "1")]
    names = [name for name, _ in recorded([*fields, ("temperature", "0")]).warnings]
    assert names == ["temperature", "chunking_strategy", "user", "made_up"]


@pytest.mark.parametrize(
    "fields",
    [
        [("model", "gpt-4o-transcribe-diarize")],
        [("response_format", "diarized_json")],
        [("response_format", "xml")],
        [("timestamp_granularities[]", "word")],
        [("timestamp_granularities[]", "letter"), ("response_format", "verbose_json")],
        [("stream", "true"), ("response_format", "vtt")],
        [("stream", "maybe")],
        [("include[]", "logprobs")],
        [("known_speaker_names[]", "Ann")],
        [("keywords", "x" * 65)],
        [("keywords", "x")] * 101,
        [("languages", "en")] * 11,
    ],
)
def test_what_would_mean_something_else_is_refused(fields: list[tuple[str, str]]) -> None:
    with pytest.raises(RefusedError) as error:
        recorded(fields)
    assert error.value.problem.field == fields[0][0].partition("[")[0]


def test_languages_have_names() -> None:
    assert len(NAMES) == len(set(NAMES.values())) == 100
    assert all(code_of(name) == code and name_of(code) == name for code, name in NAMES.items())
    assert (code_of(" pt-BR "), name_of("pt-BR"), name_of("xx")) == ("pt-BR", "portuguese", "xx")
