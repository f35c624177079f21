"""Reading event files: stage 1 of the data flow. Files in, `evtok.Events` out.

One module per format (`root`, `rntuple`, `parquet`, `hdf5`, `npy`, `darkmachines`), one interface
(`open_events`), and schemas as data (`schemas/*.toml`). A new format is one class like `ColumnarFile` and one
line in `open_file.READERS`.
"""

from __future__ import annotations

from evtok.io.presets import load_schema, preset_names
from evtok.io.schema import Schema
from evtok.io.source import EventSource, InputFile, open_events

__all__ = ["EventSource", "InputFile", "Schema", "load_schema", "open_events", "preset_names"]
