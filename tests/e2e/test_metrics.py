"""Numbers of a running server, as a scrape gets them."""

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.site import Site

ASKED = 25
"""More than the burst of `listMembers`, less than the user's."""


def numbers(site: Site) -> dict[str, float]:
    """`name label=value ...` -> the number."""
    headers = {"Authorization": f"Bearer {site.demo_token('admin')}"}
    text = site.http.get("/metrics", headers=headers).text
    return {
        " ".join(
            [sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))]
        ): (sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_who_is_let_in_and_what_is_refused_is_counted(site: Site) -> None:
    before = numbers(site)
    with site.viewer("alex") as alex:
        answers = [alex.ask("listMembers") for _ in range(ASKED)]
        during = numbers(site)
    refused = [answer for answer in answers if answer["type"] == "error"]
    assert {answer["code"] for answer in refused} == {"RATE_LIMITED"}
    assert refused
    name = "tiproom_frames_refused_total limit=connection verb=listMembers"
    assert during[name] - before.get(name, 0) == len(refused)
    assert during["tiproom_joins_admitted_total"] - before["tiproom_joins_admitted_total"] == 1
    assert during["tiproom_joins_waiting"] == during["tiproom_joins_under_way"] == 0
    assert during["tiproom_joins_refused_total reason=queue_full"] == 0
    assert during["tiproom_joins_refused_total reason=waited"] == 0
    assert during["tiproom_connections"] >= 1
    assert during["tiproom_tasks"] > 0
