"""Remote-sensing datasets of TIFF patches into one LMDB database of safetensors."""

__all__ = ["__version__"]

# The one place of the version: pyproject.toml reads it from here.
__version__ = "0.1.0"
