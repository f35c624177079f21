"""`retry`: what went to quarantine is tried again, in the same folder or, after an input was mended, in a new one."""

from __future__ import annotations

import os
from typing import Any

from evtok.io.paths import Location
from evtok.jobs import manifest as manifests
from evtok.jobs import merge
from evtok.jobs.durable import OutputFolder
from evtok.jobs.generation import job_folder_of
from evtok.jobs.manifest import require_manifest
from evtok.jobs.run import JobReport
from evtok.jobs.score_product import ScoreProduct


def retry(
    job: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    schema: Any = None,
    **options: Any,
) -> JobReport:
    """Run a job once more with the ingredients that its folder names, to get at what is in quarantine.

    Parameters
    ----------
    job : path
        Folder that `evtok tokenize` wrote, or file that `evtok score` wrote.
    output : path, optional
        Without one, the job goes on where it is: ranges that could not be read, after a lost connection say, are read
        again. That needs the very inputs of the job. When one was mended, which makes it another input, give a new
        folder (for scores, a new file): the shards of unchanged inputs are taken over, the others are made, and what
        comes out is what a job from nothing would write. The old folder stays as it is.
    schema : optional
        The one that the job was given, if it was.
    **options
        As for `evtok.tokenize_files` or `evtok.score_files`: `threads`, `allow_quarantine`, `progress` and the like.

    Returns
    -------
    JobReport

    Raises
    ------
    JobError
        As for `evtok.tokenize_files`; an input changed and there is no `output`; or the ingredients are not those of
        the job, such as another version of evtok.
    InputFileError
        A file that still cannot be read, unless quarantine is allowed.

    Notes
    -----
    An event that the tokenizer refuses is refused again, as long as neither changes: mend the event.

    The files that the manifest names are opened, wherever they lie: retry the jobs of people whom you trust. Its names
    are taken as they are, without wildcards or ``~``.
    """
    folder = job_folder_of(job)
    with OutputFolder(folder, create=False) as opened:
        plan = require_manifest(opened.read(manifests.NAME), str(folder / manifests.NAME)).plan
    options = {
        "schema": schema,
        "keep": [name for name, _ in plan.columns[1:]],
        "events_per_shard": plan.events_per_shard,
        "reuse": None if output is None else folder,
        **options,
    }
    inputs = [Location(file.path, file.tree) for file in plan.inputs]
    if isinstance(plan.product, ScoreProduct):
        from evtok.jobs.score import score_files

        target = folder.with_name(folder.name.removesuffix(merge.SUFFIX)) if output is None else output
        return score_files(
            inputs, folder / plan.product.ARTEFACT, target, device=plan.product.device, **options
        ).job
    from evtok.jobs.tokenize import tokenize_files

    target = folder if output is None else output
    return tokenize_files(inputs, folder / plan.product.ARTEFACT, target, format=plan.container, **options)
