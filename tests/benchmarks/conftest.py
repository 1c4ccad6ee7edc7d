"""Keras on JAX, compiled quickly."""

import os

# Both are read once, when Keras and JAX are imported.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
