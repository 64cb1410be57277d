"""What runs in vLLM's own workers, by vLLM's Python and its packages alone: new weights, in place."""

# pyright: reportMissingImports=false
from __future__ import annotations

from typing import Any


class AssayWeights:
    """Mixed into vLLM's worker by its option `worker_extension_cls`."""

    def assay_load(self, path: str) -> int:
        """Take the weights of a safetensors file; returns the number of its tensors."""
        from safetensors import safe_open

        worker: Any = self
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            worker.reload_weights(weights_iterator=((name, file.get_tensor(name)) for name in names))
        self._pack_again(worker.get_model())
        return len(names)

    def _pack_again(self, model: Any) -> None:
        """Packs the weights that are kept beside their packed form. On a CPU a tied output matrix is such a one: the
        reload fills the embedding, which is the same memory, and the packed form would stay that of the old weights."""
        from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

        for module in model.modules():
            weight = getattr(module, "weight", None)
            if hasattr(module, "cpu_linear") and weight is not None and weight.numel():
                dispatch_cpu_unquantized_gemm(module, remove_weight=False)
