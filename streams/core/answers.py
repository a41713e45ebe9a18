"""What a secret factor says of itself, and under which name its verification's answer comes back."""

from __future__ import annotations

from schemas.factors import Face, Fingerprint, Pin
from schemas.people import Credential
from streams.core.processor import Context


def answer_name(index: int) -> str:
    """The name in `Context.resolved` of what a factor's verification gave, by the factor's place in the request."""
    return f"factor:{index}"


def claimed_id(factor: Pin | Face | Fingerprint, context: Context) -> str | None:
    """The id of the cardholder that a factor says it is of; None where it doesn't say."""
    if factor.cardholder_id is not None or factor.credential_id is None:
        return factor.cardholder_id
    credential: Credential | None = context.references.get("credential", factor.credential_id)
    if credential is None or credential.cardholder_id is None:
        return f"nobody, by credential {factor.credential_id}"
    return credential.cardholder_id
