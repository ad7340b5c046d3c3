"""Asking a language model for a verdict, in a schema that can hold a verdict and nothing else (M2).

Whatever a model returns becomes one of three words, a number and a text. An answer that is not exactly that is a
rejection: a model that was talked into something else than answering has not approved.
"""

from __future__ import annotations

from .answer import ModelAnswer, Verdict, parse_answer
from .choice import Model, load_model

__all__ = ["Model", "ModelAnswer", "Verdict", "load_model", "parse_answer"]
