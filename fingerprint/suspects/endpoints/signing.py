"""Signed requests: Amazon's Signature Version 4, by Amazon's own library.

Needs the extra ``aws``. The secret key never leaves this process: what is sent is a signature of
one request to one host, good for some minutes, and no other host can use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fingerprint.errors import EnvironmentFailure, UsageError
from fingerprint.suspects.endpoints.address import Address
from fingerprint.suspects.endpoints.transport import Call, NoAnswer

__all__ = ["AwsSignature"]

_SIGNED = ("Authorization", "X-Amz-Date", "X-Amz-Security-Token")


class AwsSignature:
    """Makes the headers that sign a request.

    Keys come from where Amazon's own tools look: the environment (``AWS_ACCESS_KEY_ID``,
    ``AWS_PROFILE``), their files, the role of the machine. Those of a role are renewed in time.

    Args:
        address: Whom the requests go to.
        region: Region of the service.
        service: Name of the service.

    Raises:
        EnvironmentFailure: botocore is not installed.
        UsageError: There are no keys.
    """

    def __init__(self, address: Address, *, region: str, service: str) -> None:
        try:
            from botocore.exceptions import BotoCoreError
            from botocore.session import get_session
        except ImportError as error:
            raise EnvironmentFailure(
                "signing for AWS needs botocore: pip install 'nullprint[aws]'"
            ) from error
        try:
            self._keys: Any = get_session().get_credentials()
        except BotoCoreError as error:
            raise UsageError(
                "the configuration of AWS does not hold: check AWS_PROFILE and its files"
            ) from error
        if self._keys is None:
            raise UsageError(
                "expected keys for AWS, found none: set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        self._address, self._region, self._service = address, region, service

    def __call__(self, call: Call) -> Mapping[str, str]:
        """Signs a call as it is at this moment.

        Raises:
            NoAnswer: The keys have run out and cannot be renewed.
        """
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        request = AWSRequest(
            method=call.method,
            url=str(self._address.with_path(call.path)),
            data=call.body,
            headers=dict(call.headers),
        )
        try:
            keys = self._keys.get_frozen_credentials()
        except BotoCoreError as error:
            raise NoAnswer(
                "the keys for AWS have run out and cannot be renewed; log in again",
                fatal=True,
                sent=False,
            ) from error
        SigV4Auth(keys, self._service, self._region).add_auth(request)
        return {name: request.headers[name] for name in _SIGNED if name in request.headers}
