"""How much arithmetic passes through networks took: counted on the operations that ran, not estimated."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

Result = TypeVar("Result")


class FlopCount:
    """Floating-point operations of some calls, by torch's formulas: two for a multiplication with its addition; matrix
    products, convolutions, attention and recurrent layers are counted, elementwise operations are not.

    The first call of each kind is watched operation by operation; later calls of that kind (equal shapes in, equal
    operations) add the same number. Not for several threads.
    """

    def __init__(self):
        self.total = 0
        self._of_kind: dict[Hashable, int] = {}

    def run(self, kind: Hashable, call: Callable[[], Result]) -> Result:
        """What `call` gives; nothing is counted where it raises."""
        if kind in self._of_kind:
            result = call()
        else:
            watch = _watch()
            with watch:
                result = call()
            self._of_kind[kind] = watch.count  # pyright: ignore[reportAttributeAccessIssue]
        self.total += self._of_kind[kind]
        return result


def _watch() -> TorchDispatchMode:
    """Counts the operations of this thread alone (FlopCounterMode hangs hooks on every module of the process)."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Watch(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            formula = flop_registry.get(func._overloadpacket)
            if formula is None:
                with self:  # an operation that is made of others counts as these
                    parts = func.decompose(*args, **kwargs)
                if parts is not NotImplemented:
                    return parts
            result = func(*args, **kwargs)
            if formula is not None:
                self.count += formula(*args, **kwargs, out_val=result)
            elif func._overloadpacket in recurrent:
                self.count += _recurrent(*args)
            elif func._overloadpacket is torch.ops.aten._native_multi_head_attention:
                self.count += _attention(*args)
            return result

    recurrent = (torch.ops.aten.mkldnn_rnn_layer, torch.ops.aten._cudnn_rnn)  # whole layers; torch has no formula for them
    return Watch()


def _recurrent(inputs: torch.Tensor, *arguments: Any) -> int:
    """Every step of every sequence meets every weight matrix once: inputs [T, B, d] or [steps, d], then the weights."""
    weights = arguments[0] if isinstance(arguments[0], (list, tuple)) else arguments[:2]
    return 2 * (inputs.numel() // inputs.shape[-1]) * sum(weight.numel() for weight in weights if weight.ndim == 2)


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, width: int, heads: int, projections: torch.Tensor,
               bias: torch.Tensor, output: torch.Tensor, *_: Any) -> int:
    """nn.MultiheadAttention in evaluation: each token of [B, n, W] meets the weights once, and every token of its row twice."""
    tokens = query.numel() // width
    return 2 * tokens * (projections.numel() + output.numel()) + 4 * tokens * key.shape[1] * width
