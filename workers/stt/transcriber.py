"""The one door to faster-whisper and CTranslate2: windows of audio in, hypotheses out.

One `Transcriber` serves every stream; it holds nothing of any of them. All calls release the GIL. Encoding and
generating are bit-identical at any batch size of equal encoder length, so batching never changes a text.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import ctranslate2
import numpy as np
import tokenizers
from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.tokenizer import _LANGUAGE_CODES, Tokenizer
from numpy.typing import NDArray

from workers.stt.confidence import place_words
from workers.stt.hypothesis import DecodeRequest, Hypothesis, is_unusable
from workers.stt.language import choose_language
from workers.stt.tuning import SAMPLE_RATE, Tuning, samples
from workers.stt.window import encoder_frames
from workers.stt.words import UNSPACED_LANGUAGES, TokenGroup, Word, merge_groups

_WHISPER_MAX_TOKENS = 448
_SHORTEST_AUDIO = 400
_MAX_HINT_TOKENS = 64
DRILL_TOKENS = 24
"""Tokens of the benchmark's text: about what is spoken in its window."""
_WARM_UP_TOKENS = 4

Floats = NDArray[np.float32]
T = TypeVar("T")


def cuda_devices() -> int:
    """How many CUDA devices CTranslate2 can use here."""
    return int(ctranslate2.get_cuda_device_count())


class Transcriber:
    """A Whisper model in memory, with its tokenizer and feature extractor.

    `threads` is CTranslate2's `inter_threads`: how many calls run at once, each on one core. On a CPU, batching
    slows the encoder down (8 x 1: 347 ms, 1 x 8: 548 ms) and makes the decoder about twice as fast, up to 4.
    """

    def __init__(
        self,
        path: Path,
        *,
        device: str = "cpu",
        compute_type: str = "int8",
        threads: int = 2,
        encode_batch: int = 1,
        decode_batch: int = 4,
    ) -> None:
        self._model: Any = ctranslate2.models.Whisper(
            str(path), device=device, compute_type=compute_type, inter_threads=threads, intra_threads=1
        )
        self._tokens = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        self._features = FeatureExtractor(feature_size=self._model.n_mels)
        self._tokenizer_lock = threading.Lock()
        self._tokenizers: dict[str, Tokenizer] = {}
        self._encode_batch = encode_batch
        self._decode_batch = decode_batch
        self.device = device
        self.compute_type = compute_type

    @property
    def multilingual(self) -> bool:
        return bool(self._model.is_multilingual)

    @functools.cached_property
    def languages(self) -> tuple[str, ...]:
        """ISO 639-1 codes the model knows, English first."""
        if not self.multilingual:
            return ("en",)
        known = (code for code in _LANGUAGE_CODES if self._tokens.token_to_id(f"<|{code}|>") is not None)
        return ("en", *(code for code in known if code != "en"))

    def encode_hint(self, text: str) -> tuple[int, ...]:
        """Tokens of a hint for the prompt, its last 64 at most; none for a blank text."""
        text = text.strip()
        if not text:
            return ()
        return tuple(self._tokenizer("en").encode(" " + text)[-_MAX_HINT_TOKENS:])

    def run(self, requests: Sequence[DecodeRequest]) -> list[Hypothesis]:
        """Transcribe a batch of requests with one `batch_key`."""
        encoded = self._encode(requests)
        languages = self._languages(requests, encoded)
        generated = self._generate(requests, encoded, [code for code, _ in languages])
        results = []
        for index, (request, result, (language, certainty)) in enumerate(
            zip(requests, generated, languages, strict=True)
        ):
            tokenizer = self._tokenizer(language)
            ids = [token for token in result.sequences_ids[0] if token < tokenizer.eot]
            seconds = len(request.audio) / SAMPLE_RATE
            score, no_speech = float(result.scores[0]), float(result.no_speech_prob)
            rejected = is_unusable(tokenizer.decode(ids), len(ids), seconds, score, no_speech)
            words: tuple[Word, ...] = ()
            if not rejected:
                words = self._words(request, encoded[index : index + 1], ids, language)
            results.append(Hypothesis(words, score, no_speech, rejected, language, certainty, len(ids)))
        return results

    @property
    def batches(self) -> tuple[int, int]:
        """Encoder and decoder batch sizes in force."""
        return self._encode_batch, self._decode_batch

    def set_batches(self, encode: int, decode: int) -> None:
        """Batch sizes from now on; they never change a text."""
        self._encode_batch, self._decode_batch = encode, decode

    def benchmark(self, tuning: Tuning) -> ModelBenchmark:
        """A fixed piece of work that measures this machine."""
        length = samples(tuning.encoder_floor - tuning.encoder_room)
        hiss = np.random.default_rng(0).normal(0, 1e-3, length).astype(np.float32)
        return ModelBenchmark(self, DecodeRequest(hiss, encoder_frames(length, tuning), tuning.beam, "en"))

    def benchmark_encode(self, request: DecodeRequest, count: int) -> Floats:
        """`count` times the same window through the encoder in one call."""
        mel = self._mel(request)
        view = ctranslate2.StorageView.from_array(np.repeat(mel[None], count, axis=0))
        return np.array(self._model.encode(view, to_cpu=True))

    def benchmark_decode(self, request: DecodeRequest, encoded: Floats, tokens: int) -> list[int]:
        """Decode `tokens` tokens of each window, whatever is heard there; returns those of the first."""
        tokenizer = self._tokenizer("en")
        results = self._model.generate(
            ctranslate2.StorageView.from_array(encoded),
            [self._prompt(request, "en")] * len(encoded),
            beam_size=request.beam,
            max_length=2 * tokens,
            suppress_tokens=[-1, tokenizer.eot],
        )
        return [token for token in results[0].sequences_ids[0] if token < tokenizer.eot]

    def benchmark_align(self, request: DecodeRequest, encoded: Floats, tokens: list[int]) -> None:
        """Align tokens to one window."""
        self._words(request, encoded, tokens, "en")

    def _encode(self, requests: Sequence[DecodeRequest]) -> Floats:
        """Encoder output, shape (requests, encoder frames / 2, width)."""
        features = [self._mel(request) for request in requests]
        outputs = []
        for batch in _batches(features, self._encode_batch):
            view = ctranslate2.StorageView.from_array(np.stack(batch))
            outputs.append(np.array(self._model.encode(view, to_cpu=True)))
        return np.concatenate(outputs)

    def _mel(self, request: DecodeRequest) -> Floats:
        """Log-mel features, zeros after the audio (silence there makes the decoder insert words)."""
        audio = request.audio
        if len(audio) < _SHORTEST_AUDIO:
            audio = np.pad(audio, (0, _SHORTEST_AUDIO - len(audio)))
        mel = self._features(audio, padding=0)[:, : request.encoder_frames]
        padded = np.zeros((mel.shape[0], request.encoder_frames), np.float32)
        padded[:, : mel.shape[1]] = mel
        return padded

    def _languages(self, requests: Sequence[DecodeRequest], encoded: Floats) -> list[tuple[str, float]]:
        """The language of each request and how sure that is; detected from the encoder output where none is given."""
        if not self.multilingual:
            return [("en", 1.0)] * len(requests)
        found: list[tuple[str, float]] = []
        for index, request in enumerate(requests):
            if request.language is not None:
                found.append((request.language, 1.0))
                continue
            view = ctranslate2.StorageView.from_array(np.ascontiguousarray(encoded[index : index + 1]))
            detected = self._model.detect_language(view)[0]
            probabilities = [(token.strip("<|>"), float(probability)) for token, probability in detected]
            found.append(choose_language(probabilities, request.question))
        return found

    def _generate(self, requests: Sequence[DecodeRequest], encoded: Floats, languages: Sequence[str]) -> list[Any]:
        results: list[Any] = []
        work = list(zip(requests, languages, strict=True))
        for batch in _batches(work, self._decode_batch):
            prompts = [self._prompt(request, language) for request, language in batch]
            fresh = batch[0][0].longest_text
            first = len(results)
            view = ctranslate2.StorageView.from_array(np.ascontiguousarray(encoded[first : first + len(batch)]))
            results += self._model.generate(
                view,
                prompts,
                beam_size=batch[0][0].beam,
                max_length=min(_WHISPER_MAX_TOKENS, max(2 * fresh, len(prompts[0]) + fresh)),
                return_scores=True,
                return_no_speech_prob=True,
            )
        return results

    def _prompt(self, request: DecodeRequest, language: str) -> list[int]:
        tokenizer = self._tokenizer(language)
        hint = [tokenizer.sot_prev, *request.prompt] if request.prompt else []
        return [*hint, *tokenizer.sot_sequence, tokenizer.no_timestamps]

    def _words(self, request: DecodeRequest, encoded: Floats, ids: list[int], language: str) -> tuple[Word, ...]:
        """The words of a result, aligned if the request asks for it."""
        if not ids:
            return ()
        tokenizer = self._tokenizer(language)
        split = zip(*tokenizer.split_to_word_tokens([*ids, tokenizer.eot]), strict=True)
        groups = [TokenGroup(text, tuple(tokens)) for text, tokens in split][:-1]
        groups = merge_groups(groups, spaced=language not in UNSPACED_LANGUAGES)
        if not request.align:
            return tuple(Word(group.text) for group in groups)
        frames = min(request.encoder_frames, len(request.audio) * 100 // SAMPLE_RATE)
        view = ctranslate2.StorageView.from_array(np.ascontiguousarray(encoded))
        [alignment] = self._model.align(view, tokenizer.sot_sequence, [ids], [max(frames, 2)])
        pieces = [tokenizer.decode([token]) for token in ids]
        return place_words(groups, pieces, alignment.alignments, alignment.text_token_probs)

    def _tokenizer(self, language: str) -> Tokenizer:
        """faster-whisper's tokenizer of a language, made once (its cached properties are not made for threads)."""
        if not self.multilingual:
            language = "en"
        with self._tokenizer_lock:
            if language not in self._tokenizers:
                task, code = ("transcribe", language) if self.multilingual else (None, None)
                made = Tokenizer(self._tokens, self.multilingual, task=task, language=code)
                _ = made.sot, made.sot_prev, made.eot, made.no_timestamps
                self._tokenizers[language] = made
            return self._tokenizers[language]


class ModelBenchmark:
    """The three parts of a step on a fixed window: 8 s of audio, 24 tokens, about what is spoken in it."""

    def __init__(self, transcriber: Transcriber, request: DecodeRequest) -> None:
        self._transcriber = transcriber
        self._request = request
        self._encoded = transcriber.benchmark_encode(request, 1)
        self._tokens: list[int] = []

    @property
    def frames(self) -> int:
        """Mel frames of its window."""
        return self._request.encoder_frames

    def warm_up(self) -> None:
        """Run everything once: a library's first calls are its slowest."""
        some = self._transcriber.benchmark_decode(self._request, self._encoded, _WARM_UP_TOKENS)
        self._tokens = (some * DRILL_TOKENS)[:DRILL_TOKENS]
        self.align(1)

    def encode(self, count: int) -> None:
        """`count` windows in one call."""
        self._transcriber.benchmark_encode(self._request, count)

    def decode(self, count: int) -> None:
        """The tokens of `count` windows in one call."""
        self._transcriber.benchmark_decode(self._request, np.repeat(self._encoded, count, axis=0), DRILL_TOKENS)

    def align(self, count: int) -> None:
        """Times and probabilities of the tokens of `count` windows, one after the other."""
        for _ in range(count):
            self._transcriber.benchmark_align(self._request, self._encoded, self._tokens)


def _batches(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[first : first + size] for first in range(0, len(items), size))
