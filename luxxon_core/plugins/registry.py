"""What the loaded plugins have registered, and what became of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click
    from pydantic import BaseModel

    from luxxon_core.plugins.registrations import EdgeType, PanelType, SignerType
    from luxxon_core.source import SourceType

Register = Callable[["SourceType[Any]"], None]


@dataclass(frozen=True, slots=True)
class PluginFailure:
    plugin: str
    reason: str
    """One line, fit to be shown."""


@dataclass(frozen=True, slots=True)
class PluginRegistry:
    """By key, what there is of each kind; a plugin with a fault is in ``failures`` and nowhere else."""

    sources: Mapping[str, SourceType[Any]] = field(default_factory=dict)
    plugins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Plugin name to the keys it registered, of whatever kind."""
    failures: tuple[PluginFailure, ...] = ()
    edges: Mapping[str, EdgeType] = field(default_factory=dict)
    signers: Mapping[str, SignerType] = field(default_factory=dict)
    commands: Mapping[str, click.Command] = field(default_factory=dict)
    panels: Mapping[str, PanelType] = field(default_factory=dict)
    disabled: tuple[str, ...] = ()
    """Plugins that the settings switch off; they have not been imported."""

    def configure(
        self, spec: str, values: Mapping[str, Any] | None = None
    ) -> tuple[SourceType[Any], BaseModel]:
        """Resolve ``key`` or ``key:value`` (as ``file:clip.mp4``) to a source type and its configuration.

        ``values`` are further fields; ``{"env": "VARIABLE"}`` and ``{"keyring": "service/user"}`` in them
        stand for secrets. These, and what is given for fields that hold some, never appear in the error.

        Raises:
            SourceConfigError: unknown key, a value where none is taken, a secret that is not there, an
                invalid field, or a configuration whose own code fails.
        """
        from luxxon_core.plugins.secrets import resolved
        from luxxon_core.source import SourceConfigError

        key, colon, value = spec.partition(":")
        source_type = self.sources.get(key)
        if source_type is None:
            known = ", ".join(sorted(self.sources)) or "none"
            message = f"no camera type {key!r}; available: {known}{self.absences}"
            raise SourceConfigError("source:unknown", message)
        secrets: list[str] = []

        def noted(secret: str) -> str:
            secrets.append(secret)
            return secret

        fields = resolved(values or {}, noted)
        if colon:
            spec_field = getattr(source_type.Config, "spec_field", None)
            if spec_field is None:
                raise SourceConfigError(
                    "source:noSpecField", f"camera type {key} takes no value after the colon"
                )
            fields[spec_field] = value
        return source_type, _validated(key, source_type.Config, fields, secrets)

    @property
    def absences(self) -> str:
        """Why something may be missing: what failed and what is switched off, to end a sentence with."""
        broken = "".join(f"; {one.plugin} not loaded: {one.reason}" for one in self.failures)
        return broken + (f"; switched off: {', '.join(self.disabled)}" if self.disabled else "")


def _validated(
    key: str, config: type[BaseModel], fields: Mapping[str, Any], secrets: Sequence[str]
) -> BaseModel:
    """The configuration that the fields make.

    Args:
        secrets: what else an error may not tell.

    Raises:
        SourceConfigError: an invalid field, or a validator that fails: pydantic takes ValueError and
            AssertionError for an invalid field and passes everything else on.
    """
    from pydantic import ValidationError

    from luxxon_core.plugins.secret_fields import secret_inputs, without_secrets
    from luxxon_core.source import SourceConfigError, SourceError

    try:
        return config.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or key
        words = without_secrets(config, first, first["msg"], [*secrets, *secret_inputs(config, fields)])
        raise SourceConfigError("source:invalidField", f"{key}: {where}: {words}") from None
    except SourceError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's; by its type: its text may be a secret
        message = f"{key}: its configuration failed ({type(error).__name__})"
        raise SourceConfigError("source:configFailed", message) from None
