"""Which number format an encoder computes in."""

import torch


def inner_precision(precision: str) -> str:
    """ "float32" or "bfloat16": as asked, or under "auto" bfloat16 where the hardware multiplies in it fast.

    On a CPU that is AMX or AVX512_BF16 (two to three times the products of float32 a second on an AMD EPYC 9004).
    """
    if precision != "auto":
        return precision
    return "bfloat16" if _fast_in_bfloat16() else "float32"


def _fast_in_bfloat16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
