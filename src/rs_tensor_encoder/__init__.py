"""Remote-sensing datasets of TIFF patches into one LMDB database of safetensors."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("rs-tensor-encoder")
