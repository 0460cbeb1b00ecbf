"""Server interceptors, one concern a file.

Outermost first: telemetry, errors, admission, deadline, policy, decoding, validation.
"""

from collections.abc import Mapping

from servicekit.identity import Trust
from servicekit.interceptors.admission import AdmissionInterceptor
from servicekit.interceptors.chain import Chain
from servicekit.interceptors.deadline import DeadlineInterceptor
from servicekit.interceptors.decoding import DecodingInterceptor
from servicekit.interceptors.errors import ErrorsInterceptor
from servicekit.interceptors.policy import Policy, PolicyInterceptor
from servicekit.interceptors.telemetry import TelemetryInterceptor
from servicekit.interceptors.validation import ValidationInterceptor


def make_chain(
    trust: Trust, policies: Mapping[str, Policy], *, max_concurrent: int, default_deadline: float
) -> Chain:
    """All of them in their order. `policies`: by method."""
    telemetry, errors, policy = (
        TelemetryInterceptor(),
        ErrorsInterceptor(),
        PolicyInterceptor(trust, policies),
    )
    return Chain(
        [
            telemetry,
            errors,
            AdmissionInterceptor(max_concurrent),
            DeadlineInterceptor(default_deadline),
            policy,
            DecodingInterceptor(),
            ValidationInterceptor(),
        ],
        opening=[telemetry, errors, policy],
        max_streams=max_concurrent,
    )
