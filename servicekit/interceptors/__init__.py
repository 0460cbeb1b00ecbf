"""Server interceptors, one concern a file.

Outermost first: telemetry, errors, admission, deadline, policy, decoding, validation.
"""

from collections.abc import Sequence

import grpc

from servicekit.identity import Trust
from servicekit.interceptors.admission import AdmissionInterceptor
from servicekit.interceptors.base import Chain
from servicekit.interceptors.deadline import DeadlineInterceptor
from servicekit.interceptors.decoding import DecodingInterceptor
from servicekit.interceptors.errors import ErrorsInterceptor
from servicekit.interceptors.policy import PolicyInterceptor
from servicekit.interceptors.telemetry import TelemetryInterceptor
from servicekit.interceptors.validation import ValidationInterceptor


def server_interceptors(
    trust: Trust, service_names: Sequence[str], *, max_concurrent: int, default_deadline: float
) -> list[grpc.aio.ServerInterceptor]:
    """All of them in their order. ValueError for an RPC that declares no policy or streams."""
    chain = Chain(
        [
            TelemetryInterceptor(),
            ErrorsInterceptor(),
            AdmissionInterceptor(max_concurrent),
            DeadlineInterceptor(default_deadline),
            PolicyInterceptor(trust, service_names),
            DecodingInterceptor(),
            ValidationInterceptor(),
        ]
    )
    return [chain]
