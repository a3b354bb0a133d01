"""Every setting of the service, in one table, read from ``LABELWORKS_*`` environment variables."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.exceptions import UnknownEngine
from models.registry import engine_module_file

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
_ADMIN_KEY_CHARACTERS = 32


class Settings(BaseSettings):
    """The operator's choices. Sizes are in bytes and times in seconds unless a name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="LABELWORKS_", frozen=True)

    # Storage
    s3_bucket: str = "labelworks"
    s3_endpoint: str | None = Field(None, description="Where the service reaches S3; none means AWS.")
    s3_public_endpoint: str | None = Field(
        None, description="Where clients reach S3, if it is another address than s3_endpoint."
    )
    s3_region: str = "us-east-1"
    s3_access_key: str | None = Field(None, description="None means the usual AWS credential chain.")
    s3_secret_key: SecretStr | None = None
    s3_retry_seconds: float = Field(600.0, gt=0, description="How long a job retries one storage call.")
    s3_api_retry_seconds: float = Field(5.0, gt=0, description="The same while a client waits for an answer.")
    upload_url_seconds: int = Field(3600, ge=60, le=7 * 86400)
    download_url_seconds: int = Field(3600, ge=60, le=7 * 86400)

    # Classification
    models: tuple[str, ...] = Field(
        ("minilm", "static"), min_length=1, description="The engines that jobs may ask for, the default first."
    )
    model_weights: dict[str, Annotated[str, Field(min_length=1)]] = Field(
        {},
        description="A folder or hub name (organisation/name@revision) by engine; one without has its package, or the"
        " model it is made for.",
    )
    classifier_cpus: float = Field(
        0.5,
        gt=0,
        description="CPUs that one classifier actor asks Ray for; keep the sum below the cluster's.",
    )
    classifier_gpus: int = Field(
        0, ge=0, description="Whole GPUs that a classifier of an engine for GPUs asks for; 0: it runs on CPUs."
    )
    classifier_threads: int | None = Field(
        None, ge=1, description="Of one classifier; none: those of its job that fit on a node share its processors."
    )
    gpu_classifier_slots: int | None = Field(
        None, ge=1, description="Classifiers at once on GPUs; none: what the cluster holds now."
    )
    cpu_classifier_slots: int | None = Field(
        None, ge=1, description="Classifiers at once on CPUs; none: what the cluster holds now."
    )
    kept_slots_share: float = Field(0.25, ge=0, lt=1, description="Share of the slots kept for small jobs.")
    small_job_bytes: int = Field(16 * MIB, ge=0, description="Input size up to which a job counts as small.")
    classifiers_per_job: int | None = Field(
        None, ge=1, description="None: what is free; small ones that wait together share it."
    )

    # Pipeline
    prefetch_bytes: int = Field(
        16 * MIB, ge=0, description="Input size up to which it is read once and kept: not again to be classified."
    )
    driver_scan_bytes: int = Field(
        256 * MIB, ge=0, description="Input size up to which the driver scans it; tasks for more take seconds to start."
    )
    range_min_bytes: int = Field(256 * KIB, ge=1, description="Of the default engine; more for faster ones.")
    range_max_bytes: int = Field(8 * MIB, ge=1)
    ranges_per_job: int = Field(128, ge=1, description="Aimed at until ranges reach range_max_bytes.")
    range_attempts: int = Field(
        16, ge=3, description="Deaths over a range while the text to blame is looked for; then it is given up."
    )

    classifier_timeout_seconds: float = Field(
        900.0,
        gt=0,
        description="A classifier that gets no batch done for so long, or takes so long to load, is ended, as if it had"
        " died; one that takes so long to take in the job's labels and examples fails the job.",
    )

    # Jobs
    heartbeat_seconds: float = Field(1.0, gt=0)
    heartbeat_timeout_seconds: float = Field(20.0, gt=0)
    spare_drivers: int = Field(1, ge=0, description="Driver processes kept ready, so that small jobs start at once.")
    spare_processes: int = Field(
        1,
        ge=0,
        description="Processes kept ready on each node that classifies, so that its next classifiers start soon.",
    )
    spare_delay_seconds: float = Field(
        5.0, ge=0, description="How long a job that has begun has the processors before a spare of either is made."
    )
    driver_restarts: int = Field(5, ge=0, description="Driver deaths, with no shard between them, that a job survives.")
    job_retention_days: float = Field(30.0, gt=0)
    pending_retention_hours: float = Field(24.0, gt=0, description="For jobs without an upload, and for strays.")
    sweep_seconds: float = Field(3600.0, gt=0, description="How often what has expired is removed.")
    price_per_million_tokens_usd: float = Field(0.08, ge=0)

    # Logs
    log_format: Literal["json", "text"] = "json"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    # API
    api_replicas: int = Field(1, ge=1)
    requests_in_flight: int = Field(
        200,
        ge=1,
        description="A replica answers 503 to what comes on top of these, and 429 to what comes on top of half as many"
        " from one account.",
    )
    body_seconds: float = Field(
        30.0,
        gt=0,
        description="A body that takes longer to arrive is a 408; until then it is one of its account's requests in"
        " flight.",
    )
    preview_replicas: int = Field(1, ge=1, description="At most; there are none while nobody calls.")
    preview_idle_seconds: float = Field(300.0, ge=0, description="How long the last preview replica outlives its use.")
    preview_threads: int = Field(1, ge=1, description="Of a replica; what jobs leave over is all it should take.")
    preview_gpus: int = Field(0, ge=0, description="Whole GPUs of a replica.")
    preview_seconds: float = Field(60.0, gt=0, description="A preview call that takes longer is a 503.")
    previews_in_flight: int = Field(64, ge=1, description="Of one API replica; what comes on top is a 503.")
    key_cache_seconds: float = Field(5.0, ge=0, description="How long a looked-up or revoked key may linger.")
    admin_key: SecretStr | None = Field(
        None,
        description="Makes and revokes the keys of every account, 32 characters or more; none: only the command line"
        " does.",
    )
    requests_per_minute: int = Field(3000, ge=0, description="Of one key; 0: no limit.")

    @property
    def requests_in_flight_per_account(self) -> int:
        """Half of all, and room for the few that one client makes at once."""
        return max(self.requests_in_flight // 2, 4)

    @property
    def without_admin_key(self) -> Settings:
        """For processes that do not check keys: they may be on nodes that are trusted less than the head."""
        return self.model_copy(update={"admin_key": None})

    @property
    def default_model(self) -> str:
        return self.models[0]

    def weights_of(self, model: str) -> str | None:
        """Where an engine's files are; None: where the engine itself looks for them."""
        return self.model_weights.get(model)

    @field_validator("admin_key")
    @classmethod
    def _long_enough(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None and len(given) < _ADMIN_KEY_CHARACTERS:
            raise ValueError(f"it must have at least {_ADMIN_KEY_CHARACTERS} characters, not {len(given)}")
        return given

    @field_validator("models")
    @classmethod
    def _that_exist(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for name in given:
            try:
                engine_module_file(name)
            except UnknownEngine as error:
                raise ValueError(f"{error} An engine of your own is named by its module, as package.module.") from error
            except ImportError as error:
                raise ValueError(f"the engine {name!r} cannot be imported: {error}") from error
        return given

    @field_validator("model_weights")
    @classmethod
    def _of_allowed_models(cls, given: dict[str, str], others: ValidationInfo) -> dict[str, str]:
        allowed = others.data.get("models", tuple(given))
        unknown = [name for name in given if name not in allowed]
        if unknown:
            raise ValueError(
                f"{', '.join(map(repr, unknown))} is not among the models that jobs may ask for"
                f" ({', '.join(allowed)}): name it in LABELWORKS_MODELS too, or take its weights out"
            )
        return given

    @property
    def retention(self) -> timedelta:
        return timedelta(days=self.job_retention_days)

    @property
    def pending_retention(self) -> timedelta:
        return timedelta(hours=self.pending_retention_hours)
