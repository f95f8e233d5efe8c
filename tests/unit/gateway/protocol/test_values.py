"""Errors, versions, limits, budgets, states, formats: the tables and pure values of the protocol."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from talkup.v1 import error_pb2, media_pb2

from gateway.protocol.errors import ERRORS, CloseCode, Code, Problem, from_proto
from gateway.protocol.formats import SUPPORTED_FORMATS, kind_of, parse_format
from gateway.protocol.limits import Limits
from gateway.protocol.rate_limit import RateLimit
from gateway.protocol.states import (
    SESSION_TABLE,
    STREAM_TABLE,
    IllegalMoveError,
    SessionMove,
    SessionPhase,
    StoreRelease,
    StreamMove,
    StreamPhase,
    advance,
    store_release,
)
from gateway.protocol.version import MalformedVersionError, is_supported


def test_importing_the_core_loads_no_io() -> None:
    program = (
        "import sys; before = set(sys.modules); import gateway.protocol.session\n"
        "print(sorted({'grpc', 'asyncio', 'socket', 'ssl'} & (set(sys.modules) - before)),"
        " sorted(name for name in sys.modules if name.endswith('_pb2_grpc')))"
    )
    path = ":".join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    )
    assert done.stdout.strip() == "[] []"


def test_every_error_code_of_the_contract_has_its_row() -> None:
    contract = {name.removeprefix("ERROR_CODE_").lower() for name, _ in error_pb2.ErrorCode.items()} - {"unspecified"}
    assert {str(code) for code in ERRORS} == contract == {str(code) for code in Code}
    assert all(from_proto(spec.proto) is code for code, spec in ERRORS.items())
    assert from_proto(0) is Code.INTERNAL
    assert from_proto(9999) is Code.INTERNAL


def test_close_codes() -> None:
    closing = {code: int(spec.close) for code, spec in ERRORS.items() if spec.close is not None}
    assert closing == {
        Code.UNAUTHENTICATED: 4401,
        Code.PERMISSION_DENIED: 4403,
        Code.PAYLOAD_TOO_LARGE: 1009,
        Code.RATE_LIMITED: 1008,
        Code.BUSY: 1013,
        Code.SUPERSEDED: 1000,
        Code.INTERNAL: 1011,
    }
    assert CloseCode.RESTART == 1012
    assert CloseCode.BAD_UTF8 == 1007


@pytest.mark.parametrize("declared", ["1", "1.0", "1.7", " 1.0 ", "01.0"])
def test_every_1_x_is_served(declared: str) -> None:
    assert is_supported(declared)


@pytest.mark.parametrize("declared", ["0.9", "2.0", "2", "10.1"])
def test_other_versions_are_not(declared: str) -> None:
    assert not is_supported(declared)


@pytest.mark.parametrize("declared", ["", "v1", "1.0.0", "one", "1."])
def test_malformed_versions(declared: str) -> None:
    with pytest.raises(MalformedVersionError):
        is_supported(declared)


def test_limits_are_positive() -> None:
    with pytest.raises(ValueError, match="window_chunks"):
        Limits(window_chunks=0)


@given(st.lists(st.floats(0, 0.5), max_size=60))
def test_a_rate_limit_never_allows_more_than_rate_and_burst(steps: list[float]) -> None:
    limit, now, allowed = RateLimit(10.0, 5, 1000), 0.0, 0
    for step in steps:
        now += step
        allowed += limit.charge(now) is None
    assert allowed <= 5 + 10.0 * now + 1e-6


def test_a_rate_limit_reports_how_long_to_wait() -> None:
    limit = RateLimit(2.0, 1, 1000)
    assert limit.charge(0.0) is None
    refusal = limit.charge(0.0)
    assert refusal is not None
    assert refusal.wait_s == pytest.approx(0.5)
    assert limit.charge(0.5) is None


def test_refusals_are_reported_once_a_second_and_close_after_too_many_in_a_row() -> None:
    limit = RateLimit(0.001, 1, 3)
    assert limit.charge(0.0) is None
    refusals = [limit.charge(now) for now in (0.1, 0.9, 1.2, 1.3)]
    assert [(each.is_reported, each.closes) for each in refusals if each is not None] == [
        (True, False),
        (False, False),
        (True, False),
        (True, True),
    ]


def test_illegal_moves_raise_and_name_the_move() -> None:
    with pytest.raises(IllegalMoveError, match="no chunk while ended"):
        advance(STREAM_TABLE, StreamPhase.ENDED, StreamMove.CHUNK)


def test_every_phase_is_reachable_and_ends_are_final() -> None:
    assert set(STREAM_TABLE.values()) == set(StreamPhase)
    assert set(SESSION_TABLE.values()) | {SessionPhase.NEW} == set(SessionPhase)
    assert not [move for phase, move in STREAM_TABLE if phase is StreamPhase.ENDED]
    assert not [move for phase, move in SESSION_TABLE if phase is SessionPhase.ENDED]


def test_what_the_phases_of_a_session_mean() -> None:
    assert {phase for phase in SessionPhase if phase.is_joinable} == {"new", "open", "detached"}
    assert {phase for phase in SessionPhase if phase.is_stored} == {"open", "detached", "ending"}
    joinable = {phase for phase, move in SESSION_TABLE if move is SessionMove.CONNECT}
    assert joinable == {phase for phase in SessionPhase if phase.is_joinable} | {SessionPhase.WAITING}


def test_every_end_of_a_session_determines_what_is_written_to_the_store() -> None:
    ends = {(phase, move) for (phase, move), to in SESSION_TABLE.items() if to is SessionPhase.ENDED}
    releases = {end: store_release(*end) for end in ends}
    assert {move for (_, move), release in releases.items() if release is StoreRelease.CLOSED} == {"last_stream_over"}
    assert {move for (_, move), release in releases.items() if release is StoreRelease.RESUMABLE} == {"drain"}
    assert all(releases[end] is StoreRelease.UNTOUCHED for end in ends if not end[0].is_stored)


FORMATS = [
    ("audio/webm;codecs=opus", "CONTAINER_WEBM", "audio/webm;codecs=opus"),
    ('Audio/WebM ; Codecs = "OPUS"', "CONTAINER_WEBM", "audio/webm;codecs=opus"),
    ("audio/webm", "CONTAINER_WEBM", "audio/webm"),
    ("audio/webm;codecs=pcm", "CONTAINER_WEBM", "audio/webm;codecs=pcm"),
    ("audio/ogg; codecs='opus'", "CONTAINER_OGG", "audio/ogg;codecs=opus"),
    ("audio/opus", "CONTAINER_SNIFF", "audio/opus"),
    ("audio/mp4", "CONTAINER_MP4", "audio/mp4"),
    ("audio/mp4;codecs=mp4a.40.2", "CONTAINER_MP4", "audio/mp4;codecs=mp4a.40.2"),
    ("audio/mpeg", "CONTAINER_MP3", "audio/mpeg"),
    ("audio/mp3", "CONTAINER_MP3", "audio/mpeg"),
    ("audio/wav", "CONTAINER_WAV", "audio/wav"),
    ("audio/x-wav", "CONTAINER_WAV", "audio/wav"),
    ("audio/flac;", "CONTAINER_FLAC", "audio/flac"),
    ("video/webm;codecs=vp8", "CONTAINER_WEBM", "video/webm;codecs=vp8"),
    ('video/webm;codecs="vp9, opus"', "CONTAINER_WEBM", "video/webm;codecs=vp9,opus"),
    ("video/mp4;codecs=avc1.42E01E,mp4a.40.2", "CONTAINER_MP4", "video/mp4;codecs=avc1.42e01e,mp4a.40.2"),
    ("image/jpeg", "CONTAINER_JPEG", "image/jpeg"),
    ("image/jpg", "CONTAINER_JPEG", "image/jpeg"),
    ("image/png", "CONTAINER_PNG", "image/png"),
    ("image/webp", "CONTAINER_WEBP", "image/webp"),
    ("audio", "CONTAINER_SNIFF", "audio"),
    ("VIDEO", "CONTAINER_SNIFF", "video"),
    ("image", "CONTAINER_SNIFF", "image"),
]


@pytest.mark.parametrize(("mime", "container", "normal"), FORMATS)
def test_format_names(mime: str, container: str, normal: str) -> None:
    fmt = parse_format(mime)
    assert isinstance(fmt, media_pb2.MediaFormat)
    assert media_pb2.Container.Name(fmt.container) == container
    assert fmt.mime_type == normal
    assert (fmt.sample_rate, fmt.channels) == (0, 0)
    assert parse_format(normal) == fmt


@pytest.mark.parametrize("encoding", ["s16le", "f32le", "mulaw", "alaw"])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000, 96000, 192000])
def test_pcm(encoding: str, rate: int) -> None:
    fmt = parse_format(f"audio/PCM; Channels=2 ;rate={rate};encoding={encoding.upper()}")
    assert isinstance(fmt, media_pb2.MediaFormat)
    assert fmt.container == media_pb2.CONTAINER_PCM
    assert media_pb2.PcmEncoding.Name(fmt.pcm_encoding) == f"PCM_ENCODING_{encoding.upper()}"
    assert (fmt.sample_rate, fmt.channels) == (rate, 2)
    assert fmt.mime_type == f"audio/pcm;rate={rate};channels=2;encoding={encoding}"


def test_pcm_described_by_fields() -> None:
    fmt = parse_format("audio/pcm", sample_rate=44100, channels=2)
    assert isinstance(fmt, media_pb2.MediaFormat)
    assert (fmt.sample_rate, fmt.channels, fmt.pcm_encoding) == (44100, 2, media_pb2.PCM_ENCODING_S16LE)


@pytest.mark.parametrize(
    ("mime", "rate", "field"),
    [
        ("audio/x-ms-wma", None, "format"),
        ("text/plain", None, "format"),
        ("", None, "format"),
        ("audio/", None, "format"),
        ("audio/webm;codecs=speex", None, "format"),
        ("video/webm;codecs=av01", None, "format"),
        ("audio/pcm;rate=7999", None, "format"),
        ("audio/pcm;rate=192001", None, "format"),
        ("audio/pcm;rate=fast", None, "format"),
        ("audio/pcm;channels=0", None, "format"),
        ("audio/pcm;encoding=s24le", None, "format"),
        ("audio/pcm;rate=8000", 16000, "sample_rate"),
        ("audio/webm;=x", None, "format"),
        ('audio/webm;codecs="opus', None, "format"),
    ],
)
def test_formats_refused(mime: str, rate: int | None, field: str) -> None:
    problem = parse_format(mime, sample_rate=rate)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.field) == (Code.UNSUPPORTED_FORMAT, field)


@given(
    st.text(max_size=200)
    | st.sampled_from(SUPPORTED_FORMATS).flatmap(lambda name: st.text(max_size=40).map(lambda rest: f"{name};{rest}"))
)
def test_any_format_text_is_a_format_or_a_problem(mime: str) -> None:
    assert isinstance(parse_format(mime), media_pb2.MediaFormat | Problem)
    kind_of(mime)
