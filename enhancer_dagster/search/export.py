"""A sentence-transformers model to the folder of an encoder: traced to ONNX, quantised, compared.

Dynamic int8 quantisation, one scale a channel, makes a query take milliseconds and a build three times
as fast as torch on one core. What it costs is measured here and in `python -m bench retrieval`.
"""

import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from loguru import logger

from enhancer_dagster.search.encoder import (
    ONNX_FLOAT,
    ONNX_INT8,
    REFERENCE,
    EncoderCard,
    OnnxEncoder,
    ReferenceEncoder,
)
from enhancer_dagster.search.jsonfile import replace_json
from enhancer_dagster.search.model_source import ModelSource
from enhancer_dagster.search.parity_texts import PARITY_TEXTS

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

LEAST_PARITY_INT8 = 0.98
LEAST_PARITY_FLOAT = 0.9999
"""Mean cosine with sentence-transformers below which an export is not used."""

_OPSET = 18
_LONGEST_WINDOW = 512


def exported_encoder(source: ModelSource, cache: Path) -> Path:
    """The folder of the model's encoder, exported into `cache` the first time it is asked for."""
    folder = cache / source.key
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{source.key}.lock"):
        if not (folder / "encoder.json").exists():
            draft = cache / f".{source.key}"
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            export_encoder(source, draft)
            draft.rename(folder)
    return folder


def export_encoder(source: ModelSource, folder: Path) -> EncoderCard:
    """Write the model's encoder into `folder`: int8 if it is close enough, else float, else the reference."""
    from sentence_transformers import SentenceTransformer

    # The plain attention is the one that the tracer turns into a graph of any length.
    model = SentenceTransformer(source.path, device="cpu", model_kwargs={"attn_implementation": "eager"})
    card = _reference_card(source, model)
    try:
        _trace(model, folder)
        card = _quantised(card, model, folder)
    except Exception as error:  # torch, onnx and tokenizers fail in their own ways on unusual models
        logger.warning("{} cannot be exported to ONNX; queries will load torch: {}", source.name, error)
        (folder / "model.onnx").unlink(missing_ok=True)
        card = replace(card, kind=REFERENCE, parity=1.0, note=f"{type(error).__name__}: {error}"[:300])
    replace_json(folder / "encoder.json", card.as_dict())
    return card


def _reference_card(source: ModelSource, model: "SentenceTransformer") -> EncoderCard:
    prompts = {name: prompt or "" for name, prompt in (model.prompts or {}).items()}
    return EncoderCard(
        kind=REFERENCE,
        model=source.name,
        revision=source.revision,
        dimension=int(model.get_embedding_dimension() or 0),
        window=min(model.max_seq_length or _LONGEST_WINDOW, _LONGEST_WINDOW),
        query_prompt=prompts.get("query", ""),
        document_prompt=prompts.get("document") or prompts.get("passage", ""),
    )


def _quantised(card: EncoderCard, model: "SentenceTransformer", folder: Path) -> EncoderCard:
    """The card of the best usable graph in `folder`, which is left as `model.onnx`."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain, small = folder / "float.onnx", folder / "model.onnx"
    quantize_dynamic(plain, small, weight_type=QuantType.QInt8, per_channel=True)
    card = replace(card, kind=ONNX_INT8)
    parity = _parity(card, model, folder)
    note = ""
    if parity < LEAST_PARITY_INT8:
        note = f"int8 reached a mean cosine of {parity:.4f} only"
        plain.replace(small)
        card = replace(card, kind=ONNX_FLOAT)
        parity = _parity(card, model, folder)
        if parity < LEAST_PARITY_FLOAT:
            raise ValueError(f"{note}, float32 {parity:.5f}")
    plain.unlink(missing_ok=True)
    return replace(card, parity=round(parity, 5), note=note)


def _parity(card: EncoderCard, model: "SentenceTransformer", folder: Path) -> float:
    replace_json(folder / "encoder.json", card.as_dict())
    ours = OnnxEncoder(folder)
    reference = ReferenceEncoder(card, model)
    texts = list(PARITY_TEXTS)
    return float(np.mean(np.sum(ours.documents(texts) * reference.documents(texts), axis=1)))


def _trace(model: "SentenceTransformer", folder: Path) -> None:
    import torch

    class Graph(torch.nn.Module):
        """All modules of the model, then unit length."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            features = dict(zip(names, inputs, strict=True))
            return torch.nn.functional.normalize(self.model(features)["sentence_embedding"], dim=1)

    tokenizer = model.tokenizer.backend_tokenizer
    tokenizer.save(str(folder / "tokenizer.json"))
    sample: dict[str, Any] = dict(model.tokenizer(list(PARITY_TEXTS[:2]), padding=True, return_tensors="pt"))
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in sample]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        # The tracing exporter: onnxruntime cannot load what torch.export makes of this model (torch 2.13).
        torch.onnx.export(
            Graph().eval(),
            tuple(sample[name] for name in names),
            str(folder / "float.onnx"),
            input_names=names,
            output_names=["embedding"],
            dynamic_axes={name: {0: "rows", 1: "tokens"} for name in names} | {"embedding": {0: "rows"}},
            opset_version=_OPSET,
            dynamo=False,
        )
