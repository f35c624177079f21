"""What a report is about: jobs of one tokenizer, and the numbers that several sections need, each computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from evtok.jobs import VerifyReport
from evtok.jobs.record import Counts
from evtok.report.bins import Bins, bins_of
from evtok.report.closure import Closure, closure
from evtok.report.samples import Job, Sample
from evtok.report.usage import Block, blocks, count_ids


@dataclass(frozen=True)
class Step:
    """Something that was done: on how many events, and in how many seconds."""

    name: str
    events: int
    seconds: float


@dataclass(frozen=True)
class Content:
    """Everything that a page is made of."""

    title: str
    introduction: str
    tokenizer: Any
    jobs: Sequence[Job]
    verdicts: Sequence[VerifyReport]
    steps: Sequence[Step]

    @cached_property
    def samples(self) -> list[Sample]:
        """The samples of all jobs, in order."""
        return [sample for job in self.jobs for sample in job.samples]

    @cached_property
    def bins(self) -> list[Bins]:
        """Bins of every feature."""
        return bins_of(self.tokenizer, dict(self.samples[0].events.units))

    @cached_property
    def closures(self) -> list[Closure]:
        """Original and decoded values of every feature."""
        return [closure(part, self.samples) for part in self.bins]

    @cached_property
    def blocks(self) -> list[Block]:
        """Blocks of ids, with the counts of each id."""
        counts = count_ids([sample.tokens for sample in self.samples], self.tokenizer.vocab_size)
        return blocks(self.tokenizer, counts)

    @cached_property
    def objects(self) -> Block:
        """The block of object ids."""
        return next(block for block in self.blocks if block.name == "objects")

    @property
    def totals(self) -> Counts:
        """The account of all jobs together."""
        return sum((job.manifest.totals for job in self.jobs), Counts())

    @property
    def n_tokens(self) -> int:
        """Tokens in all shards."""
        return sum(shard.ids for job in self.jobs for shard in job.manifest.shards)

    @property
    def n_looked_at(self) -> int:
        """Events that the figures are made of."""
        return sum(len(sample.events) for sample in self.samples)

    @property
    def proven(self) -> bool:
        """Whether every job was proven."""
        return all(verdict.ok for verdict in self.verdicts)
