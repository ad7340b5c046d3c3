"""Models of a provider, through pydantic-ai: one question, one text back, no tools, no second try.

The provider's own structured output is not relied on. The text is read by our parser, so that the text that is on record is
the text that was judged, and a hijacked model has no channel but that text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenuto.errors import Busy, NotConfigured

from .answer import ModelAnswer, parse_answer

if TYPE_CHECKING:
    from pydantic_ai.models import Model as Provider

SECONDS_MAX = 90.0
TOKENS_MAX = 2_000


class ProviderModel:
    """One model of one provider."""

    def __init__(self, name: str, provider: Provider) -> None:
        """`name` is what goes on record; `provider` is any model of pydantic-ai."""
        from pydantic_ai import Agent
        from pydantic_ai.settings import ModelSettings

        self.name = name.lower()
        limits = ModelSettings(timeout=SECONDS_MAX, max_tokens=TOKENS_MAX)
        self._agent: Agent[object, str] = Agent(provider, output_type=str, retries=0, model_settings=limits)

    def review(self, prompt: str) -> ModelAnswer:
        """Return the answer; a response that is no text (a tool call) is invalid and rejects. Raises Busy."""
        from pydantic_ai.exceptions import ModelAPIError, UnexpectedModelBehavior

        try:
            return parse_answer(self._agent.run_sync(prompt).output)
        except UnexpectedModelBehavior as error:
            return parse_answer(f"(no text in the response: {error})")
        except ModelAPIError as error:
            raise Busy(f"The model {self.name} gave no answer: {error}. Nothing was decided.") from error


def load_provider_model(name: str) -> ProviderModel:
    """Return the model `provider:model`; raises NotConfigured when its library or its key is missing."""
    try:
        from pydantic_ai.exceptions import UserError
        from pydantic_ai.models import infer_model
    except ImportError as error:
        raise NotConfigured(f"The model {name} needs the extra `agents`: pip install 'tenuto[agents]'.") from error
    try:
        provider: Any = infer_model(name)
    except (UserError, ImportError, ValueError) as error:
        raise NotConfigured(f"The model {name} cannot be used: {error}") from error
    return ProviderModel(name, provider)
