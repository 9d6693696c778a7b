"""Python imports this by itself at its start when this folder is in PYTHONPATH: notebook kernels are cut off too."""

import netcut  # noqa: F401
