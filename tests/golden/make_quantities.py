"""Write the golden files of event tokens: ``python make_quantities.py NAME``. Never rewrite older ones."""

from __future__ import annotations

import sys

from make_codebook import write
from quantity_tokenizers import golden_quantity_tokenizers

if __name__ == "__main__":
    write(sys.argv[1], golden_quantity_tokenizers())
