"""Models and tokenizers from a Hugging Face folder: the one place where torch's side loads them.

A folder is inspected first, by reading; then it is loaded strictly: a weight that is missing or of
another shape is an error, where the library would go on with random numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers.utils.logging as library_log
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

from protocol.errors import ConfigError, InputError
from protocol.logs import logger_of
from protocol.model_errors import as_model_error
from protocol.model_folder import inspect_model
from protocol.said import said_by
from protocol.tokenizer_files import loaded_tokenizer
from reward_service.forward import refuse_caps
from reward_service.fused import with_fused_activations

_NO_CODE: dict[str, Any] = {"trust_remote_code": False}
"""Refuses to run a folder's own code, outright: else the library asks at the terminal."""
_KINDS_OF_LAYERS = ("layer_types", "mlp_layer_types")
"""Keys of a config that say of each layer which kind it is."""
_log = logger_of("pretrained")


def load_causal_model(folder: Path) -> Any:
    """Return a causal language model in float32 on CPU, without dropout, as the folder has it.

    Raises:
        MissingError: There is no such folder.
        InputError: It holds no whole causal language model that transformers knows.
    """
    inspect_model(folder)
    return _load(AutoModelForCausalLM, folder)


def load_backbone(folder: Path, layers: int | None = None) -> Any:
    """Return a causal language model without its head, in float32 on CPU, without dropout.

    Args:
        folder: Of the model.
        layers: How many of its layers are wanted, from the first on; None: all, and the norm after
            them.

    Raises as `load_causal_model` does, and ConfigError where it has fewer layers.
    """
    inspect_model(folder)
    return as_the_layers_leave_it(_load(AutoModel, folder, layers), layers)


def as_the_layers_leave_it(backbone: Any, layers: int | None) -> Any:
    """Take out the norm after the layers, in place, unless `layers` is None; return the model.

    Its weights were learned for the states that all layers leave, and hide what is plain in those
    of fewer. A model that has no such norm stays as it is.
    """
    if layers is None:
        return backbone
    # Shapes are read off another: where weights are taken apart as they are loaded these have none.
    with torch.device("meta"):
        whole = AutoModel.from_config(backbone.config)
    width = (backbone.config.hidden_size,)
    for path, part in whole.named_modules():
        if any(_is_stack(child, layers) for child in part.children()):
            norms = [name for name, child in part.named_children() if _is_norm(child, width)]
            if norms:
                setattr(backbone.get_submodule(path), norms[-1], nn.Identity())
            break
    return backbone


def _is_stack(module: nn.Module, layers: int) -> bool:
    return isinstance(module, nn.ModuleList) and len(module) == layers


def _is_norm(module: nn.Module, width: tuple[int, ...]) -> bool:
    """Return whether all of a module's weights are one number for each feature."""
    return {tuple(each.shape) for each in module.parameters()} == {width}


def first_layers(config: Any, layers: int | None) -> Any:
    """Return the config of a model's first layers; of all where `layers` is None.

    Raises ConfigError where it has fewer, or its architecture does not say what those are.
    """
    if layers is None:
        return config
    if layers > config.num_hidden_layers:
        raise ConfigError(
            f"reward_model.layers is {layers}, and the model has {config.num_hidden_layers}: "
            "take fewer, or leave the key out for all"
        )
    config = copy.deepcopy(config)
    config.num_hidden_layers = layers
    content = config.to_dict()
    for key in _KINDS_OF_LAYERS:
        if kinds := content.get(key):
            setattr(config, key, kinds[:layers])
    if kinds := content.get("attention_layers"):  # GPT-Neo's, which it makes of the other key
        config.attention_layers = kinds[:layers]
        config.attention_types = [[kinds[:layers], 1]]
    try:
        type(config).from_dict(config.to_dict())  # as a version is read, once people have labelled
    except Exception as error:  # of each architecture's own checks another
        raise ConfigError(
            f"reward_model.layers: of {config.model_type} no config of its first layers alone can "
            f"be made ({said_by(error)}): leave the key out"
        ) from error
    return config


def check_loads(folder: Path) -> None:
    """Check that a folder could be loaded whole, without reading its weights.

    Raises as `load_causal_model` and `refuse_caps` do.
    """
    inspect_model(folder)
    refuse_caps(_load(AutoModelForCausalLM, folder, device_map="meta"), folder)


def read_config(folder: Path) -> Any:
    """Return the config of a folder that need hold nothing else.

    Raises InputError for one that transformers does not know.
    """
    what = "transformers knows no such model"
    with as_model_error(folder, what), quiet_library():
        return AutoConfig.from_pretrained(str(folder), **_NO_CODE)


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a model folder.

    Raises:
        InputError: There is none, or one that cannot be loaded.
    """
    with quiet_library():
        return loaded_tokenizer(AutoTokenizer, folder)


def without_dropout(config: Any) -> Any:
    """Zero every dropout probability of a config, whatever its architecture calls it; return it.

    PPO's ratios compare two forward passes of the same weights, so nothing may be random in them.
    """
    for name, value in config.to_dict().items():
        if "drop" in name and isinstance(value, float):
            setattr(config, name, 0.0)
    return config


@contextmanager
def quiet_library() -> Iterator[None]:
    """Keep transformers from reporting in tables and bars what we report in a line."""
    verbosity, has_bars = library_log.get_verbosity(), library_log.is_progress_bar_enabled()
    library_log.set_verbosity_error()
    library_log.disable_progress_bar()
    try:
        yield
    finally:
        library_log.set_verbosity(verbosity)
        if has_bars:
            library_log.enable_progress_bar()


def _load(kind: Any, folder: Path, layers: int | None = None, **options: object) -> Any:
    what = "transformers cannot load it as a causal language model"
    with as_model_error(folder, what), quiet_library():
        whole = without_dropout(AutoConfig.from_pretrained(str(folder), **_NO_CODE))
        config = first_layers(whole, layers)
        model, loading = kind.from_pretrained(
            str(folder),
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            **_NO_CODE,
            output_loading_info=True,
            **options,
        )
    if lacking := sorted(loading["missing_keys"]):
        raise InputError(
            f"{folder} lacks weights that its config asks for: {lacking[0]}{_and_more(lacking)}; "
            "save the whole model"
        )
    if mismatched := sorted(map(str, loading["mismatched_keys"])):
        raise InputError(
            f"{folder} holds weights of other shapes than its config asks for: {mismatched[0]}"
            f"{_and_more(mismatched)}; save config and weights together"
        )
    if kind is AutoModelForCausalLM and (unused := sorted(loading["unexpected_keys"])):
        # Published models have some, such as heads for speculation; they change nothing.
        _log.warning("weights_not_used", folder=str(folder), count=len(unused), first=unused[0])
    return with_fused_activations(model)


def _and_more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
