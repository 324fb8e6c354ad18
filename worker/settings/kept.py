"""The settings of what is kept and told of calls: recordings, journals, traces, Homer, prices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr

from worker.records.told import Told
from worker.settings.values import Directory, File, HttpUrl, Journal, Lower, PublicKey, Server


class KeptValues(BaseModel):
    """What is kept of calls, for how long, and who else is told of them."""

    recordings: Directory | None = Field(
        default=None, description="the directory for recordings and call records (left out: nothing is recorded)"
    )
    recordings_key: PublicKey | None = Field(
        default=None,
        description="the public key of `offhook keys recordings`, offhook-public-...: recordings are encrypted, and the"
        " secret key opens them, which stays elsewhere (left out: they are WAV files)",
    )
    recordings_days: float | None = Field(
        default=None, gt=0, description="days that recordings are kept for, such as 30 (left out: for ever)"
    )
    journal: Journal = Field(
        default="memory",
        description="memory (of the calls in progress and the last ones), off, or a directory with a slash in it"
        " that keeps each call's, such as ./journals",
    )
    journal_days: float = Field(default=14, gt=0, description="days that journals are kept for, such as 14")
    transcripts: Annotated[Literal["on", "off"], Lower] = Field(
        default="on", description="one of: on, off (records and pages have who spoke when, and no words)"
    )
    hep: Server = Field(
        default=None,
        description="host:port of a Homer that is told of SIP messages and lines by HEP3 over UDP, such as"
        " homer.example:9060, or off",
    )
    hep_id: int = Field(default=1, ge=0, le=0xFFFFFFFF, description="our number as a capture agent, such as 2001")
    hep_password: SecretStr | None = Field(
        default=None,
        max_length=128,
        description="the capture server's password, of at most 128 characters, which HEP3 sends in clear",
    )
    prices: File | None = Field(
        default=None, description="the path of a table of prices (TOML) that exists (left out: the shipped one)"
    )
    otel_endpoint: HttpUrl | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="an http:// or https:// URL of an OTLP receiver, such as http://127.0.0.1:4318",
    )
    otel_traces_endpoint: HttpUrl | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        description="an http:// or https:// URL that takes traces, such as http://127.0.0.1:4318/v1/traces",
    )
    otel_headers: SecretStr | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_HEADERS",
        description="headers for that receiver as name=value, with commas",
    )
    otel_traces_headers: SecretStr | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        description="headers for the receiver of traces as name=value, with commas",
    )
    otel_protocol: Literal["http/protobuf"] = Field(
        default="http/protobuf",
        validation_alias="OTEL_EXPORTER_OTLP_PROTOCOL",
        description="http/protobuf alone",
    )
    otel_traces_protocol: Literal["http/protobuf"] = Field(
        default="http/protobuf",
        validation_alias="OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        description="http/protobuf alone",
    )
    otel_traces_exporter: str = Field(
        default="otlp", validation_alias="OTEL_TRACES_EXPORTER", description="otlp, or none for no traces"
    )
    otel_disabled: Annotated[Literal["true", "false"], Lower] = Field(
        default="false", validation_alias="OTEL_SDK_DISABLED", description="one of: true (no traces), false"
    )

    def told(self) -> Told:
        """Return what of calls is kept."""
        return Told(journal=self.journal != "off", words=self.transcripts == "on")

    def traces(self) -> bool:
        """Tell whether calls and jobs are told as traces: where there is an endpoint, and nobody has put them off."""
        off = self.otel_disabled == "true" or self.otel_traces_exporter == "none"
        return not off and bool(self.otel_endpoint or self.otel_traces_endpoint)

    def journal_folder(self) -> Path | None:
        """Return where journals are kept: a folder of their own, or beside the recordings; None: in memory alone."""
        if self.journal == "off":
            return None
        return self.journal if isinstance(self.journal, Path) else self.recordings

    def records_folder(self) -> Path | None:
        """Return where records are kept: beside the recordings, else beside the journals; None: nowhere."""
        return self.recordings or self.journal_folder()
