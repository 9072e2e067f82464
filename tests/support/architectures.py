"""Tiny random models of many architectures, each a whole folder with a tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.tiny_model import SPECIAL_TOKENS, WORDS, save_tiny_model

VOCABULARY = len(SPECIAL_TOKENS) + len(WORDS.split())
_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 0.3,  # so that what attention leaves out shows
}
_GROUPED = {"num_key_value_heads": 2}
_EXPERTS = {
    **_GROUPED,
    "head_dim": 8,
    "num_local_experts": 2,
    "num_experts_per_tok": 1,
    "moe_intermediate_size": 16,
}


def _config(name: str, **changes: Any) -> Callable[[], Any]:
    def make() -> Any:
        import transformers

        return getattr(transformers, name)(**{**_SHAPE, **changes})

    return make


ARCHITECTURES: dict[str, tuple[str, Callable[[], Any]]] = {
    "gpt2": (
        "GPT2LMHeadModel",
        _config("GPT2Config", n_positions=64, n_embd=32, n_layer=2, n_head=4),
    ),
    "llama tied": (
        "LlamaForCausalLM",
        _config("LlamaConfig", tie_word_embeddings=True, **_GROUPED),
    ),
    "llama untied": (
        "LlamaForCausalLM",
        _config("LlamaConfig", tie_word_embeddings=False, **_GROUPED),
    ),
    "qwen2": ("Qwen2ForCausalLM", _config("Qwen2Config", tie_word_embeddings=True, **_GROUPED)),
    "qwen3": ("Qwen3ForCausalLM", _config("Qwen3Config", head_dim=8, **_GROUPED)),
    "mistral, sliding window": (
        "MistralForCausalLM",
        _config("MistralConfig", sliding_window=4, head_dim=8, **_GROUPED),
    ),
    "gpt-neox": ("GPTNeoXForCausalLM", _config("GPTNeoXConfig", tie_word_embeddings=False)),
    "mixtral, experts": ("MixtralForCausalLM", _config("MixtralConfig", **_EXPERTS)),
    "qwen3, experts": ("Qwen3MoeForCausalLM", _config("Qwen3MoeConfig", **_EXPERTS)),
    "qwen3, experts after a layer without": (
        "Qwen3MoeForCausalLM",
        _config("Qwen3MoeConfig", mlp_only_layers=[0], **_EXPERTS),
    ),
    "gpt-neo, kinds of layers": (
        "GPTNeoForCausalLM",
        _config("GPTNeoConfig", attention_types=[[["global", "local"], 1]], window_size=8),
    ),
    "opt, offset positions": (
        "OPTForCausalLM",
        _config("OPTConfig", ffn_dim=64, word_embed_proj_dim=32, init_std=0.3),
    ),
    "opt, projected": (
        "OPTForCausalLM",
        _config("OPTConfig", ffn_dim=64, word_embed_proj_dim=16, init_std=0.3),
    ),
    "bloom, alibi": ("BloomForCausalLM", _config("BloomConfig", n_layer=2, n_head=4)),
    "falcon, alibi": (
        "FalconForCausalLM",
        _config("FalconConfig", alibi=True, new_decoder_architecture=False),
    ),
    "mpt, alibi": (
        "MptForCausalLM",
        _config("MptConfig", d_model=32, n_heads=4, n_layers=2, max_seq_len=64),
    ),
    "gemma, norm": ("GemmaForCausalLM", _config("GemmaConfig", head_dim=8, **_GROUPED)),
    "gemma2, soft caps": (
        "Gemma2ForCausalLM",
        _config("Gemma2Config", head_dim=8, sliding_window=8, **_GROUPED),
    ),
    "gemma2, cap on attention alone": (
        "Gemma2ForCausalLM",
        _config(
            "Gemma2Config",
            **{"head_dim": 8, "sliding_window": 8, "final_logit_softcapping": None, **_GROUPED},
        ),
    ),
    "gemma2, low cap on attention": (
        "Gemma2ForCausalLM",
        _config(
            "Gemma2Config",
            head_dim=8,
            sliding_window=8,
            final_logit_softcapping=None,
            attn_logit_softcapping=0.5,
            **_GROUPED,
        ),
    ),
    "bert, sees both ways": ("BertLMHeadModel", _config("BertConfig", is_decoder=False)),
    "gemma3": (
        "Gemma3ForCausalLM",
        _config("Gemma3TextConfig", head_dim=8, sliding_window=8, **_GROUPED),
    ),
    "cohere, scaled logits": ("CohereForCausalLM", _config("CohereConfig", **_GROUPED)),
    "granite, scaled logits": (
        "GraniteForCausalLM",
        _config("GraniteConfig", logits_scaling=8.0, **_GROUPED),
    ),
    "phi3": ("Phi3ForCausalLM", _config("Phi3Config", **_GROUPED)),
    "phi3, two scales": (
        "Phi3ForCausalLM",
        _config(
            "Phi3Config",
            original_max_position_embeddings=24,
            rope_parameters={
                "rope_type": "longrope",
                "rope_theta": 10_000.0,
                "original_max_position_embeddings": 24,
                "short_factor": [1.0] * 4,
                "long_factor": [1.0, 4.0, 16.0, 64.0],
            },
            **_GROUPED,
        ),
    ),
    "llama, stretched": (
        "LlamaForCausalLM",
        _config(
            "LlamaConfig",
            rope_parameters={"rope_type": "linear", "rope_theta": 10_000.0, "factor": 2.0},
            **_GROUPED,
        ),
    ),
    "mamba": ("MambaForCausalLM", _config("MambaConfig")),
}


def save_architecture(name: str, folder: Path) -> Path:
    """Write a random model of one architecture, with the word tokenizer; return the folder."""
    import torch
    import transformers

    save_tiny_model(folder)
    kind, make_config = ARCHITECTURES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        getattr(transformers, kind)(make_config()).save_pretrained(folder)
    return folder
