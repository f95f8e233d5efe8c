"""Real material through real processes: gateway, speech worker with its decoder children, Whisper.

tiny.en hears English, base everything else. Streams run as fast as the server takes them, as many at a time as two
cores carry in real time: beyond that the recogniser spends less on each by design, and its words depend on the load.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from rapidfuzz.distance import Levenshtein
from talkup_client import SpeechEvent
from talkup_client.stream import Stream

from bench.harness.material import Clip, clips, pieces, recordings, slices, words
from bench.harness.stack import Stack, child_environment, running_stack
from tests.corpus.streaming import Heard, client_of, collect, hear, hear_all, web_packet
from tests.corpus.test_media_corpus import format_of
from tests.e2e.test_bad_input import BAD
from tests.e2e.test_direct_client import EXAMPLE
from tests.e2e.test_last_words import read_transcript
from tests.e2e.wire import open_wire
from tests.unit.workers.media.chunks import assert_same
from workers.chunk import Chunk
from workers.media.isolation.pool import DecoderPool

pytestmark = [pytest.mark.corpus, pytest.mark.model, pytest.mark.timeout(400)]

MOST_CHANGED_BY_A_CUT = 0.02
AT_ONCE = 12
AT_A_TIME = {True: 8, False: 2}
"""Streams of tiny.en (English), of base."""
GROUPS = (
    "jfk",
    "ls_1221-135766-0001",
    "lj_LJ001-0005",
    "chromium-mediarecorder",
    "fleurs_fr_001",
    "fleurs_fr_003",
    "fleurs_de_001",
    "mediarecorder",
)


def stack_of(tmp_path_factory: pytest.TempPathFactory, model: str) -> Iterator[Stack]:
    settings = {"WORKER_MODEL": model, "WORKER_SLOTS": "32"}
    patient = {"GATEWAY_WORKER_FINISH_S": "300"}
    with running_stack(
        folder=tmp_path_factory.mktemp(model),
        worker_arguments=("stt",),
        worker_settings=settings,
        gateway_settings=patient,
    ) as stack:
        yield stack


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The spine with tiny.en."""
    yield from stack_of(tmp_path_factory, "tiny.en")


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The spine with base, 99 languages."""
    yield from stack_of(tmp_path_factory, "base")


def distance(one: str, other: str, language: str) -> float:
    """Words that differ, relative to the longer text."""
    first, second = words(one, language), words(other, language)
    return Levenshtein.distance(first, second) / max(1, len(first), len(second))


def word_error(text: str, clip: Clip) -> float:
    reference = words(clip.text, clip.language)
    return Levenshtein.distance(reference, words(text, clip.language)) / len(reference)


def group_of(corpus: Path, group: str) -> list[Clip]:
    if group == "chromium-mediarecorder":
        return recordings(corpus)
    return [clip for clip in clips(corpus, "encoded-speech") if clip.path.parent.name == group]


def jfk_clip(corpus: Path, name: str = "chrome60.live.webm") -> Clip:
    return next(clip for clip in group_of(corpus, "jfk") if clip.path.name == name)


async def hear_on_its_own(stack: Stack, clip: Clip, chunks: list[bytes], mime: str | None = None) -> Heard:
    """A clip on a connection of its own."""
    async with client_of(stack) as client:
        return await hear(client, mime or clip.mime, chunks, clip.language)


# --- cuts


def cuts_of(clip: Clip) -> list[list[bytes]]:
    """Slices of 100 ms and 1,000 bytes; bare packets have their own borders."""
    recorded = slices(clip.path, clip.seconds)
    return [recorded] if clip.path.suffix == ".pkts" else [recorded, pieces(clip.data, 1000)]


async def hear_cuts(stack: Stack, found: list[Clip], at_a_time: int) -> list[list[Heard]]:
    """Every clip at every cut."""
    jobs = [(clip, cut) for clip in found for cut in cuts_of(clip)]
    heard = await hear_all([functools.partial(hear_on_its_own, stack, clip, cut) for clip, cut in jobs], at_a_time)
    return [[answer for (of, _), answer in zip(jobs, heard, strict=True) if of is clip] for clip in found]


def changed(clip: Clip, answers: list[Heard]) -> bool:
    """Whether the texts of one clip differ in more words than allowed."""
    most = max(distance(answers[0].text, answer.text, clip.language) for answer in answers)
    return most > MOST_CHANGED_BY_A_CUT


@pytest.mark.parametrize("group", GROUPS)
async def test_the_cut_does_not_change_the_text(corpus: Path, request: pytest.FixtureRequest, group: str) -> None:
    found = group_of(corpus, group)
    assert found
    stack: Stack = request.getfixturevalue("english" if found[0].language == "en" else "multilingual")
    heard = await hear_cuts(stack, found, AT_A_TIME[found[0].language == "en"])
    for clip, answers in zip(found, heard, strict=True):
        for answer in answers:
            assert answer.error is None, clip.name
            assert answer.text, clip.name
            assert abs(answer.media_seconds - clip.seconds) < 0.5, clip.name
        assert len({answer.media_seconds for answer in answers}) == 1, clip.name
    differ = [clip for clip, answers in zip(found, heard, strict=True) if changed(clip, answers)]
    # Another program may have taken the machine meanwhile: what the cut itself changes, it changes again.
    for clip in differ:
        [answers] = await hear_cuts(stack, [clip], 1)
        assert not changed(clip, answers), clip.name


@pytest.mark.parametrize("name", ["de_rhasspy-0018.webm", "de_rhasspy-0021.webm"])
async def test_ogg_that_firefox_calls_webm(corpus: Path, multilingual: Stack, name: str) -> None:
    """Firefox gives its Ogg recordings the name audio/webm: the bytes decide, at the gateway and in the decoder."""
    clip = next(clip for clip in group_of(corpus, "mediarecorder") if clip.path.name == name)
    chunks = slices(clip.path, clip.seconds)
    names = ("audio/ogg;codecs=opus", "audio/webm", "audio/webm;codecs=opus")
    answers = await hear_all(
        [functools.partial(hear_on_its_own, multilingual, clip, chunks, mime) for mime in names], 1
    )
    assert [answer.error for answer in answers] == [None] * len(names)
    assert len({answer.media_seconds for answer in answers}) == 1
    for answer in answers[1:]:
        assert distance(answers[0].text, answer.text, clip.language) <= MOST_CHANGED_BY_A_CUT
    assert word_error(answers[0].text, clip) < 0.5


# --- processes


def tree(stack: Stack) -> set[int]:
    """The ids of the stack's processes, children and all."""
    roots = [psutil.Process(program.pid) for program in (stack.gateway, *stack.workers)]
    return {each.pid for root in roots for each in (root, *root.children(recursive=True))}


def decoders(stack: Stack) -> set[int]:
    return {child.pid for child in psutil.Process(stack.workers[0].pid).children()}


async def until_speech(stream: Stream) -> None:
    """Read until somebody speaks: the decoder is in the middle of the stream then."""
    while not isinstance(await anext(stream), SpeechEvent):
        pass


async def test_streams_are_no_processes(corpus: Path, english: Stack) -> None:
    clip = jfk_clip(corpus)
    before, during = tree(english), asyncio.Barrier(AT_ONCE + 1)

    async def talk() -> Heard:
        async with client_of(english) as client, client.stream(format=clip.mime, language="en") as stream:
            chunks = slices(clip.path, clip.seconds)
            for chunk in chunks[:30]:
                await stream.send(chunk)
            await until_speech(stream)
            await during.wait()
            await during.wait()
            await stream.end()
            return await collect(stream)

    async with asyncio.TaskGroup() as group:
        talking = [group.create_task(talk()) for _ in range(AT_ONCE)]
        await during.wait()
        assert tree(english) == before
        await during.wait()
    assert len({task.result().text for task in talking}) == 1
    assert tree(english) == before


@pytest.mark.parametrize("name", ["chrome60.live.webm", "ogg20.ogg", "opus20.pkts", "mp3_64k.mp3", "pcm16k.s16le"])
async def test_a_killed_decoder_costs_no_word(corpus: Path, english: Stack, name: str) -> None:
    clip = jfk_clip(corpus, name)
    chunks = slices(clip.path, clip.seconds)
    half = len(chunks) // 2
    undisturbed = await hear_on_its_own(english, clip, chunks)
    async with client_of(english) as client, client.stream(format=clip.mime, language="en") as stream:
        for chunk in chunks[:half]:
            await stream.send(chunk)
        await until_speech(stream)
        killed = decoders(english)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        for chunk in chunks[half:]:
            await stream.send(chunk)
        await stream.end()
        heard = await collect(stream)
    assert killed
    assert killed.isdisjoint(decoders(english))
    assert heard.error is None
    assert heard.media_seconds == undisturbed.media_seconds
    assert distance(heard.text, undisturbed.text, "en") <= MOST_CHANGED_BY_A_CUT


@pytest.mark.parametrize("number", range(8))
async def test_a_killed_decoder_costs_no_sample(corpus: Path, number: int) -> None:
    """A real child, killed twice in the middle of a clip of every format: the samples are as if it had lived."""
    clip = group_of(corpus, "jfk")[number]
    chunks, fmt = slices(clip.path, clip.seconds), format_of(clip.path.name)
    kills = set(random.Random(clip.path.name).sample(range(1, len(chunks)), 2))
    heard = []
    pool = DecoderPool(children=1)
    await pool.start()
    try:
        for deaths in (set(), kills):
            stream, parts = pool.open(fmt), []
            for index, chunk in enumerate(chunks):
                if index in deaths:
                    os.kill(pool.child_pids[0], signal.SIGKILL)
                parts.append(await stream.decode(Chunk(index, chunk)))
            parts.append(await stream.finish())
            await stream.close()
            heard.append(np.concatenate(parts))
    finally:
        await pool.close()
    assert_same(heard[1], heard[0], aac=clip.path.suffix == ".mp4")


# --- nobody speaks; the last words


@pytest.mark.parametrize("model", ["english", "multilingual"])
async def test_no_words_where_nobody_speaks(corpus: Path, request: pytest.FixtureRequest, model: str) -> None:
    stack: Stack = request.getfixturevalue(model)
    found = clips(corpus, "nonspeech")
    language = "en" if model == "english" else "auto"

    async def listen(clip: Clip) -> Heard:
        async with client_of(stack) as client:
            return await hear(client, clip.mime, slices(clip.path, clip.seconds), language)

    heard = await hear_all([functools.partial(listen, clip) for clip in found], AT_A_TIME[model == "english"])
    assert len(found) >= 10
    for clip, answer in zip(found, heard, strict=True):
        assert (answer.text, answer.error) == ("", None), clip.name
        assert abs(answer.media_seconds - clip.seconds) < 0.5, clip.name


async def test_close_without_stream_end_keeps_the_last_words(corpus: Path, english: Stack) -> None:
    clip = jfk_clip(corpus)
    async with open_wire(english.ws_url) as wire:
        session = await wire.until("session")
        await wire.send({"type": "stream_start", "stream_id": "s", "format": clip.mime, "language": "en"})
        for chunk in slices(clip.path, clip.seconds):
            await wire.send(chunk)
        await wire.socket.close(1000)
    text = await read_transcript(english, session["data"]["session_id"], "for your country")
    assert word_error(text, clip) <= 0.10


# --- bad media and bad messages during a healthy stream


async def test_broken_recordings_do_not_disturb_a_healthy_stream(corpus: Path, english: Stack) -> None:
    healthy = jfk_clip(corpus)
    chunks = slices(healthy.path, healthy.seconds)
    alone = await hear_on_its_own(english, healthy, chunks)
    broken = clips(corpus, "broken")
    async with client_of(english) as client, asyncio.TaskGroup() as group:
        beside = group.create_task(hear(client, healthy.mime, chunks, "en"))
        answers = [group.create_task(hear(client, clip.mime, pieces(clip.data, 1000), "en")) for clip in broken]
    assert beside.result().error is None
    assert distance(beside.result().text, alone.text, "en") <= MOST_CHANGED_BY_A_CUT
    assert len(broken) == 4
    for clip, answer in zip(broken, (task.result() for task in answers), strict=True):
        match clip.path.stem:
            case "broken_no_header" | "broken_random":
                assert answer.text == "", clip.name
                assert (answer.error, answer.notices) in ((None, ("orphan_chunk",)), ("media_error", ())), clip.name
            case "broken_truncated":
                assert answer.error is None
                assert alone.text.split()[:6] == answer.text.split()[:6]
            case "broken_gap":
                assert answer.error is None
                assert answer.media_seconds == pytest.approx(healthy.seconds, abs=0.8)
                assert word_error(answer.text, clip) < 0.4


async def test_bad_messages_do_not_disturb_a_healthy_stream(corpus: Path, english: Stack) -> None:
    clip = jfk_clip(corpus)
    chunks = slices(clip.path, clip.seconds)
    alone = await hear_on_its_own(english, clip, chunks)
    async with open_wire(english.ws_url) as wire:
        await wire.send({"type": "stream_start", "stream_id": "healthy", "format": clip.mime, "language": "en"})
        for number, chunk in enumerate(chunks):
            await wire.send(chunk)
            if number % 8 == 0 and number // 8 < len(BAD):
                await wire.send(BAD[number // 8][1])
        await wire.send({"type": "stream_end", "stream_id": "healthy"})
        ended = await wire.until("stream_ended")
    codes = [message["data"]["code"] for message in wire.seen if message["type"] == "error"]
    assert codes == [code for _, _, code, _ in BAD]
    assert distance(ended["data"]["text"], alone.text, "en") <= MOST_CHANGED_BY_A_CUT


# --- other ways in


async def test_packets_of_the_web_application(corpus: Path, english: Stack) -> None:
    clip = next(clip for clip in recordings(corpus) if clip.path.name == "mic-audio.webm")
    chunks = slices(clip.path, clip.seconds)
    proper = await hear_on_its_own(english, clip, chunks)
    async with open_wire(english.ws_url) as wire:
        for number, chunk in enumerate(chunks):
            await wire.send(web_packet(number, chunk, clip.mime))
        await wire.send({"type": "stream_end"})
        ended = await wire.until("stream_ended")
    assert distance(ended["data"]["text"], proper.text, "en") <= MOST_CHANGED_BY_A_CUT
    assert word_error(ended["data"]["text"], clip) <= 0.15


async def test_a_direct_grpc_client_hears_the_same(corpus: Path, english: Stack) -> None:
    clip = jfk_clip(corpus, "ogg20.ogg")
    over_websocket = await hear_on_its_own(english, clip, pieces(clip.data, 4000))
    output = await run_python(str(EXAMPLE), str(clip.path), clip.mime, english.stt_target)
    assert words(output, "en") == words(over_websocket.text, "en")


async def run_python(*arguments: str) -> str:
    """What a Python program prints; it must end well."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=child_environment({}), stdout=asyncio.subprocess.PIPE
    )
    stdout, _ = await process.communicate()
    assert process.returncode == 0
    return stdout.decode()


async def talkup_transcribe(stack: Stack, path: Path, *options: str) -> str:
    command = ("-c", "import sys; from talkup_client.cli import main; sys.exit(main())", "transcribe", str(path))
    return await run_python(*command, "--url", stack.ws_url, "--key", stack.key, *options)


@pytest.mark.parametrize("model", ["english", "multilingual"])
async def test_talkup_transcribes_english(corpus: Path, request: pytest.FixtureRequest, model: str) -> None:
    clip = next(clip for clip in clips(corpus, "speech") if clip.path.name == "jfk.flac")
    text = await talkup_transcribe(request.getfixturevalue(model), clip.path)
    assert word_error(text, clip) <= 0.10


@pytest.mark.parametrize("name", ["ast_conf-adminmenu.flac", "ast_tt-allbusy.flac", "fleurs_fr_001.flac"])
async def test_talkup_hears_french_by_itself(corpus: Path, multilingual: Stack, name: str) -> None:
    clip = next(clip for clip in clips(corpus, "speech") if clip.path.name == name)
    answer = json.loads(await talkup_transcribe(multilingual, clip.path, "--format", "json"))
    assert answer["language"] == "fr"
    assert word_error(answer["text"], clip) <= 0.30
