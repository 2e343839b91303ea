"""``python -m optkit``: the same as ``optkit``."""

from __future__ import annotations

from optkit.cli.main import main

if __name__ == "__main__":
    main()
