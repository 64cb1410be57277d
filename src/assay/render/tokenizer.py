"""Reading a tokenizer, without what transformers would import for the configuration of its model: seconds, in every
process that opens one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer in a folder, as AutoTokenizer finds it.

    Raises:
        OSError, ValueError, KeyError, ImportError: there is none that can be read.
    """
    from transformers import AutoTokenizer

    # None has the class found by the configuration of the model.
    return AutoTokenizer.from_pretrained(folder, local_files_only=True, config=_named(folder))


def _named(folder: Path) -> Any:
    """A configuration that names the model's type, which is all that is read of it where the tokenizer's own file names
    a class of transformers; None where more is needed."""
    try:
        own, model = (json.loads((folder / f"{each}.json").read_text()) for each in ("tokenizer_config", "config"))
        names = [own["tokenizer_class"], model["model_type"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # Mistral's files may be read in another format of theirs.
    if not all(isinstance(name, str) for name in names) or "auto_map" in own or "mistral" in model["model_type"]:
        return None
    from transformers import PreTrainedConfig

    config: Any = PreTrainedConfig()
    config.model_type = model["model_type"]
    config.tokenizer_class, config.model_name = model.get("tokenizer_class"), model.get("model_name")
    config._name_or_path = str(folder)
    return config
