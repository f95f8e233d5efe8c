"""Makes the jobs of one stream: which audio the model hears, with what encoder input, language, beam and hints."""

from __future__ import annotations

from workers.stt.decode_job import DecodeJob, Effort, Purpose, StreamOptions
from workers.stt.hearing import Hearing
from workers.stt.hypothesis import DecodeRequest
from workers.stt.language import LanguageChoice
from workers.stt.tuning import Tuning, samples
from workers.stt.window import encoder_frames


class JobMaker:
    """One stream's. It reads what the stream has heard and changes nothing."""

    def __init__(self, hearing: Hearing, languages: LanguageChoice, tuning: Tuning, options: StreamOptions) -> None:
        self._hearing = hearing
        self._languages = languages
        self._tuning = tuning
        self._options = options

    def job(
        self, purpose: Purpose, stretch: tuple[int, int], effort: Effort, epoch: int, *, first_window: bool
    ) -> DecodeJob:
        """A job for a window of a stretch of audio, start and end in samples."""
        options, tuning = self._options, self._tuning
        start, end = stretch
        is_first = purpose is Purpose.INTERIM and end - start < samples(tuning.first_window)
        floor = tuning.first_floor if is_first else None
        request = DecodeRequest(
            audio=self._hearing.audio.slice(start, end),
            encoder_frames=encoder_frames(end - start, tuning, floor=floor),
            beam=effort.beam if purpose is not Purpose.INTERIM else min(effort.beam, tuning.interim_beam),
            language=self._languages.current,
            question=self._languages.question(self._hearing.segmenter.spoken),
            prompt=options.hotwords + (options.initial_prompt if first_window else ()),
            align=purpose is not Purpose.INTERIM,
        )
        quiet = self._hearing.silence >= samples(tuning.closing_silence)
        return DecodeJob(purpose, start, end, request, epoch, ends_in_silence=quiet and purpose is Purpose.STEP)
