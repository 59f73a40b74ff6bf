"""The pages: what there is, and its reports. No name acts, and nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import re

import pytest
from markupsafe import escape

from fingerprint.text import clean
from tests.cli.service.conftest import Served
from tests.cli.service.test_access import refused
from tests.support.dossiers import HOSTILE


def test_the_list_leads_to_each_verdict_and_names_do_nothing(served: Served) -> None:
    answer = served.get("/")
    assert answer.status_code == 200
    assert '<a href="/verdicts/1">1</a>' in answer.text
    assert "probes=true" not in answer.text
    assert "probes=true" in served.get("/", "auditor").text
    for name in HOSTILE[:2]:
        assert name not in answer.text
        assert str(escape(clean(name))) in answer.text
    assert "<script" not in answer.text
    assert not re.findall(r'(?:src|href)="(?!/verdicts/)', answer.text)


@pytest.mark.parametrize("path", ["/", "/verdicts/1", "/v1/verifications/1/report"])
def test_a_policy_in_the_header_allows_one_style_sheet_and_no_frame(
    served: Served, path: str
) -> None:
    answer = served.get(path)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"].startswith("text/html")


def test_probes_are_shown_to_auditors_and_the_chain_says_to_whom(served: Served) -> None:
    plain = served.get("/verdicts/1")
    assert "Base of probe" not in plain.text
    refused(served.get("/verdicts/1?probes=true"), 403)
    assert "look" not in dict(served.actions())
    shown = served.get("/verdicts/1?probes=true", "auditor")
    assert "Base of probe" in shown.text
    ((_, look),) = [one for one in served.actions() if one[0] == "look"]
    assert (look["number"], look["by"]) == (1, {"token": "auditor"})


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("none", 200)]
)
def test_no_other_site_has_somebody_noted_as_shown_probes(
    served: Served, site: str, status: int
) -> None:
    password = base64.b64encode(f"me:{served.tokens['auditor']}".encode()).decode()
    headers = {"Authorization": f"Basic {password}", "Sec-Fetch-Site": site}
    answer = served.client.get("/verdicts/1?probes=true", headers=headers)
    assert answer.status_code == status
    assert ("look" in dict(served.actions())) is (status == 200)
    assert served.client.get("/verdicts/1", headers=headers).status_code == 200


def test_an_empty_registry_has_a_page(served: Served) -> None:
    for model in served.service.registry.models()[::-1]:
        served.service.registry.remove(model.name)
    assert "None is registered yet." in served.get("/").text
