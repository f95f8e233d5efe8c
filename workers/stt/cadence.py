"""When the next hypothesis of a window is due: a step, or an interim between steps. On media time, in samples."""

from __future__ import annotations

from workers.stt.decode_job import Effort, Purpose
from workers.stt.tuning import Tuning, samples


class Cadence:
    """Follows the hypotheses of one window. `last_step`: end of the audio of the last step."""

    def __init__(self, tuning: Tuning, last_step: int) -> None:
        self.last_step = last_step
        self._tuning = tuning
        self._last_shown = last_step
        self._visible = False

    def restart(self, position: int, *, visible: bool | None = None) -> None:
        """Count from `position` on; `visible`: whether the window shows words already (None: as before)."""
        self.last_step = self._last_shown = position
        if visible is not None:
            self._visible = visible

    def shown(self, *, words: bool) -> None:
        """Record that an interim was sent; `words`: whether it has any."""
        self._visible = self._visible or words

    def due(
        self,
        start: int,
        end: int,
        effort: Effort,
        *,
        interims: bool,
        silence: int = 0,
        waiting: int | None = None,
    ) -> Purpose | None:
        """What is due at `end` in a window that begins at `start`; what is returned will not be due again.

        `interims`: whether interims may be asked for; none is due if no voice was heard since the last one. `silence`:
        samples of it before `end`. `waiting`: end of the first word that is not final.
        """
        since_step = end - max(self.last_step, start)
        step = self._step(effort, waiting)
        if since_step >= step or self._pause_due(since_step, effort, silence):
            self.restart(end)
            return Purpose.STEP
        if interims and silence < end - self._last_shown and self._interim_due(start, end, step - since_step):
            self._last_shown = end
            return Purpose.INTERIM
        return None

    def _step(self, effort: Effort, waiting: int | None) -> int:
        """Samples between the last step and the next; fewer where a word waits with audio enough behind it."""
        tuning = self._tuning
        if waiting is None or self.last_step - waiting < samples(tuning.likely_age):
            return samples(effort.step)
        return samples(effort.step * (tuning.held_share + effort.strain * (1 - tuning.held_share)))

    def _pause_due(self, since_step: int, effort: Effort, silence: int) -> bool:
        """Whether the voice pauses and no step has heard that: its hypothesis may be the segment's last one."""
        tuning = self._tuning
        pause = samples(tuning.closing_silence)
        share = tuning.pause_share + effort.strain * (tuning.stretched_pause_share - tuning.pause_share)
        unheard = silence >= pause and since_step > silence - pause
        return unheard and since_step >= samples(share * effort.step)

    def _interim_due(self, start: int, end: int, until_step: int) -> bool:
        if until_step < samples(0.2):
            return False
        if self._last_shown <= start:
            return end - start >= samples(self._tuning.interim_first)
        every = self._tuning.interim_every if self._visible else self._tuning.interim_retry
        return end - self._last_shown >= samples(every)
