"""Whether an engine's KV cache fits: checked before vLLM would fail in another process's log."""

from __future__ import annotations

from protocol.errors import ResourceError

GIB = 2**30


def check_kv_cache(
    kv_cache_gib: float,
    *,
    context_length: int,
    block_size: int,
    bytes_per_token: int,
    free_bytes: int | None,
) -> None:
    """Check that the cache holds one longest sequence, and that memory holds the cache.

    Args:
        kv_cache_gib: As configured; 0 leaves the size, and this check, to vLLM.
        context_length: Longest prompt + response, tokens.
        block_size: Tokens a cache block holds; a sequence takes whole blocks.
        bytes_per_token: Of keys and values in all layers.
        free_bytes: Memory at hand; None where it is the device's own.

    Raises:
        ResourceError: One of the two does not hold.
    """
    if kv_cache_gib == 0:
        return
    wanted = kv_cache_gib * GIB
    num_blocks = -(-context_length // block_size)
    one_sequence = num_blocks * block_size * bytes_per_token
    if wanted < one_sequence:
        raise ResourceError(
            f"a KV cache of {kv_cache_gib:g} GiB holds no sequence of {context_length} tokens: "
            f"give rollouts.kv_cache_gib at least {one_sequence / GIB:.4f}, or lower "
            "rollouts.max_model_len"
        )
    if free_bytes is not None:
        check_free_memory(kv_cache_gib, 1, free_bytes)


def cache_beside_others(device_bytes: int, share: float, beside_cache: int) -> int:
    """Return the bytes of an engine's KV cache on a device on which others come and go.

    vLLM cannot measure it there: what others take while it starts it takes for its own, and what
    they free ends it.

    Args:
        device_bytes: All memory of the device.
        share: The engine's part of it, `rollouts.gpu_memory_utilization`.
        beside_cache: What the engine takes beside its cache.

    Raises:
        ResourceError: Its part is not even that much.
    """
    own = int(share * device_bytes)
    if own <= beside_cache:
        raise ResourceError(
            f"rollouts.gpu_memory_utilization = {share} of a GPU of {device_bytes / GIB:.1f} GiB "
            f"is {own / GIB:.1f}, and an engine takes {beside_cache / GIB:.1f} beside its KV "
            "cache: raise it, or set rollouts.kv_cache_gib"
        )
    return own - beside_cache


def check_free_memory(kv_cache_gib: float, num_caches: int, free_bytes: int) -> None:
    """Check that memory holds so many caches.

    Raises:
        ResourceError: It does not.
    """
    if num_caches * kv_cache_gib * GIB > free_bytes:
        times = f" for each of {num_caches} actors" if num_caches > 1 else ""
        raise ResourceError(
            f"rollouts.kv_cache_gib = {kv_cache_gib}{times}, but only {free_bytes / GIB:.1f} GiB "
            "of memory are free: lower it, or free memory"
        )
