"""Which model reviews. The port stands here, beside the one function that chooses between its implementations."""

from __future__ import annotations

from typing import Protocol

from tenuto.errors import NotConfigured

from .answer import ModelAnswer

PROVIDERS = ("openai", "anthropic")


class Model(Protocol):
    """Something that reads a prompt and returns a verdict."""

    @property
    def name(self) -> str:
        """What `decision.made` records as the model, such as `openai:gpt-5`."""
        ...

    def review(self, prompt: str) -> ModelAnswer:
        """Return the answer to `prompt`; an answer out of schema comes back as an invalid one, which rejects.

        Raises Busy when the provider is away or refuses to serve: no answer is neither an approval nor a rejection.
        """
        ...


def load_model(name: str) -> Model:
    """Return the model called `name`: `scripted`, `gullible`, or `provider:model`.

    Raises NotConfigured for an unknown name, a missing library or a missing key, with the remedy.
    """
    # Each is imported when it is chosen, so that the offline ones need no provider's library.
    if name == "scripted":
        from .scripted import ScriptedModel

        return ScriptedModel()
    if name == "gullible":
        from .gullible import GullibleModel

        return GullibleModel()
    provider, _, model = name.partition(":")
    if provider not in PROVIDERS or not model:
        known = ", ".join(f"{one}:MODEL" for one in PROVIDERS)
        raise NotConfigured(f"There is no model {name!r}. TENUTO_MODEL is scripted, gullible, {known}.")
    from .provider import load_provider_model

    return load_provider_model(name)
