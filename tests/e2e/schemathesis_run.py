"""Schemathesis over an OpenAPI document: examples, boundary values, then random requests."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import schemathesis
from hypothesis.errors import Flaky
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.generation import GenerationMode

from protocol.errors import ERRORS, ErrorCode
from tests.e2e.site import PROBLEM

SEED: Final = 3
RANDOM_REQUESTS_MAX: Final = 4
"""Of each operation and kind (valid, invalid), beside the boundary values."""
FAILURES_MAX: Final = 100
ACCEPTANCE: Final = "positive_data_acceptance"
ACCEPTED: Final = ["2xx", "402", "403", "404", "409", "429", "503"]
"""What a request that the document calls valid may be answered. Not 400 or 422."""

PHASES: Final = frozenset({"examples", "coverage", "fuzzing"})


@dataclass
class Report:
    """What came of one run. `answers`: operation ("GET /path") -> status -> how often."""

    answers: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    failures: list[str] = field(default_factory=list)
    """One text for each: operation, check, reason, and the request as a curl command."""

    def __add__(self, other: "Report") -> "Report":
        """Of runs over different operations."""
        return Report(self.answers | other.answers, self.failures + other.failures)

    def add(self, label: str, recorder: ScenarioRecorder, accepted: int | None) -> None:
        """`accepted`: the one more status that a valid request may get."""
        method = label.partition(" ")[0]
        for interaction in recorder.interactions.values():
            # The checks send other methods, too: their answers are not this operation's.
            if interaction.response is not None and interaction.request.method == method:
                self.answers[label][interaction.response.status_code] += 1
        for case_id, checks in recorder.checks.items():
            response = recorder.interactions[case_id].response
            for check in checks:
                if (found := check.failure_info) is not None:
                    if check.name == ACCEPTANCE and response and response.status_code == accepted:
                        continue
                    what = f"{found.failure.title}: {found.failure.message}"
                    self.failures.append(f"{label}: {check.name}: {what}\n  {found.code_sample}")


@schemathesis.check
def problem_code_has_its_status(
    _ctx: schemathesis.CheckContext, response: schemathesis.Response, _case: schemathesis.Case
) -> None:
    """One table says which status an error code is answered with."""
    if response.headers.get("content-type") == [PROBLEM]:
        code = response.json()["code"]
        assert ERRORS[ErrorCode(code)].http_status == response.status_code, code


def run(
    document: dict[str, Any],
    url: str,
    names: Collection[str],
    bearer: str | None = None,
    *,
    phases: Collection[str] = PHASES,
    also_accepted: Mapping[str, int] = MappingProxyType({}),
) -> Report:
    """Requests to the operations `names` ("GET /path") of `document` at `url`, with the token
    `bearer`; the same requests in each run. `also_accepted`: one more status that a valid request
    to an operation may get. Waits for all answers. Raises AssertionError where a name names no
    operation."""
    accepted = ACCEPTED if bearer is not None else [*ACCEPTED, "401"]
    config = schemathesis.Config.from_dict(
        {
            "seed": SEED,
            "max-failures": FAILURES_MAX,
            "continue-on-failure": True,
            "base-url": url,
            "headers": {} if bearer is None else {"Authorization": f"Bearer {bearer}"},
            "request-timeout": 10,
            "cache": {"enabled": False},
            "generation": {
                "max-examples": RANDOM_REQUESTS_MAX,
                "deterministic": True,
                "database": "none",
                "no-shrink": True,
            },
            "phases": {
                **{name: {"enabled": name in phases} for name in PHASES},
                "stateful": {"enabled": False},
            },
            # A 503 is an answer where the document names it, which is another check.
            "checks": {
                "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "503"]},
                ACCEPTANCE: {"expected-statuses": accepted},
            },
        }
    )
    schema = schemathesis.openapi.from_dict(document, config=config).include(name=list(names))
    report = Report()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            report.add(event.label, event.recorder, also_accepted.get(event.label))
        elif isinstance(event, events.NonFatalError):
            # On a busy machine a value is not found in time, and then is: nothing was asked yet,
            # and what was asked of the operation else is in the report.
            if isinstance(event.value, Flaky):
                continue
            report.failures.append(f"{event.label}: {event.value!r}")
        elif isinstance(event, events.FatalError):
            raise event.exception
    assert report.answers.keys() == set(names)
    return report


@schemathesis.hook("before_call")
def write_integers(_context: Any, case: schemathesis.Case, _kwargs: dict[str, Any]) -> None:
    """To JSON Schema 5.0 is an integer. Our bodies take 5 alone, and no schema can say so."""
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        case.body = _written(case.body)


def _written(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _written(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_written(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
