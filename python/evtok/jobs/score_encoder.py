"""Scores events for a job, by a detector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evtok._optional import require
from evtok.detectors.interface import Detector, Device
from evtok.errors import EvtokError, JobError
from evtok.events import Events
from evtok.jobs.batch import Array, Batch
from evtok.jobs.product import Encoded, Encoder, without
from evtok.jobs.score_product import COLUMN, DTYPE, EVENTS_PER_CALL, ScoreProduct
from evtok.tokens import EncodeReport


class ScoreEncoder(Encoder):
    """Scores events with a fitted detector; those without a finite score go to quarantine."""

    product: ScoreProduct

    def __init__(self, detector: Detector, device: Device = "cpu") -> None:
        if not detector.is_fitted:
            raise JobError("detector: it is not fitted yet; call fit first")
        self._detector = detector
        self._device: Device = device
        self._backend = detector.backend if device == "cpu" else detector.backend_on(device)
        torch = str(require("torch", extra="torch").__version__) if self._backend == "torch" else ""
        backend = self._backend if device == "cpu" else f"{self._backend}-{device}"
        self.product = ScoreProduct(detector.KIND, backend, torch, EVENTS_PER_CALL)
        self.fingerprint = detector.fingerprint
        self.required_columns = detector.inputs.required_columns
        self.required_fields = detector.inputs.required_fields
        self.events_per_call = self.product.events_per_call

    def encode(  # noqa: D102
        self, events: Events, columns: Mapping[str, Array], *, name: str, threads: int | None
    ) -> Encoded:
        data, report = self._detector.inputs.met(events, threads=threads)
        scores = self._detector.score(
            data, backend=self._backend, device=self._device, on_invalid="sentinel", threads=threads
        )
        if scores.shape != (len(events),) or scores.dtype != DTYPE:
            raise JobError(
                f"{name}: the detector gave {scores.dtype} {scores.shape} for {len(events)} events, not one "
                "float32 each"
            )
        refused: npt.NDArray[np.int64] = np.flatnonzero(~np.isfinite(scores))
        reasons = self._reasons(events, scores, refused)
        batch = Batch(without({COLUMN: scores, **columns}, refused))
        if len(refused):  # what is counted is of the events that are written
            report = _without(report, self._detector.inputs.met(events[refused], threads=threads)[1])
        return Encoded(batch, refused, reasons, report)

    def _reasons(
        self, events: Events, scores: npt.NDArray[np.float32], refused: npt.NDArray[np.int64]
    ) -> list[str]:
        """Say why events have no score; it is found out once for those that are equal, such as all without objects."""
        known: dict[tuple[bytes, ...], str] = {}
        reasons = []
        for i in refused:
            event = events[int(i) : int(i) + 1]
            read = [event.columns[name] for name in self.required_columns]
            read += [event.fields[name] for name in self.required_fields]
            key = tuple(values.tobytes() for values in read)
            if key not in known:
                known[key] = self._reason(event, scores[i])
            reasons.append(known[key])
        return reasons

    def _reason(self, event: Events, score: np.float32) -> str:
        try:
            self._detector.score(event, backend=self._backend, device=self._device)
        except EvtokError as error:
            return str(error)
        return f"its score is {score}"

    def require_unchanged(self, name: str) -> None:  # noqa: D102
        if self._detector.fingerprint != self.fingerprint:
            raise JobError(f"{name}: the detector changed while the job was running")

    def save(self, folder: Path) -> None:  # noqa: D102
        self._detector.save(folder)


def _without(whole: EncodeReport, part: EncodeReport) -> EncodeReport:
    """Return what was met in the other events; every count is a sum over events."""
    return EncodeReport(**{name: number - getattr(part, name) for name, number in vars(whole).items()})
