"""``python -m rs_tensor_encoder`` is the command ``rs-tensor-encoder``."""

from rs_tensor_encoder.cli import run

run()
