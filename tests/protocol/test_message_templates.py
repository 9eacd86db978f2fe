"""Templates: what their text may hold, how it is filled in, and which one is taken."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.message_templates import (
    RECENT_MAX,
    TEMPLATE_CONTENT_MAX,
    VARIABLES,
    VARIABLES_MAX,
    Template,
    TemplateDraft,
    check,
    choose,
    fill,
    variables_of,
)
from protocol.mood_messages import CONTENT_MAX, MessageType, Mood
from protocol.tip_activated import MembershipTier
from protocol.validation import validate

THANKS = MessageType.PUBLIC_MICRO
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
DRAFT = TemplateDraft("Thanks", THANKS, None, None, "Thank you, {{username}}!")


def template(template_id: str, **changes: Any) -> Template:
    plain = Template(
        template_id, 1, "T", THANKS, None, None, "Thanks!", (), (), True, 0, 0, None, "staff", NOON
    )
    return msgspec.structs.replace(plain, **changes)


def chosen(templates: list[Template], recent: tuple[str, ...] = (), **wanted: Any) -> str | None:
    asked = {"mood": Mood.HAPPY, "tier": MembershipTier.FREE, **wanted}
    found = choose(templates, THANKS, asked["mood"], asked["tier"], recent)
    return found.template_id if found else None


# ---- text ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "values", "text"),
    [
        ("Hi", {}, "Hi"),
        ("{{username}}: {{amount}}", {"username": "Al", "amount": "5"}, "Al: 5"),
        ("{{username}}", {"username": "{{amount}}", "amount": "5"}, "{{amount}}"),
        ("{{username}}{{amount}}", {"username": "{{", "amount": "username}}"}, "{{username}}"),
        ("{{username}} {{username}}", {"username": r"\1 \g<0>"}, r"\1 \g<0> \1 \g<0>"),
        ("{{username}}", {"username": "<b>&amp;"}, "<b>&amp;"),
        ("{ {username} }", {}, "{ {username} }"),
    ],
)
def test_variables_are_filled_in_one_pass(content: str, values: dict[str, str], text: str) -> None:
    assert fill(content, values) == text


@given(st.text(), st.text(), st.text())
def test_a_value_is_put_in_as_it_is(before: str, value: str, after: str) -> None:
    before, after = before.replace("{", "("), after.replace("}", ")")
    assert fill(before + "{{username}}" + after, {"username": value}) == before + value + after


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        ("Thanks!", 0),
        ("{{username}} {{modelName}} {{itemName}}", 0),
        ("{{balance}}", 1),
        ("{{Username}}", 1),
        ("{{username}", 1),
        ("username}}", 1),
        ("{{ username }}", 1),
        ("{{}}", 1),
        ("{{{username}}}", 0),
        ("{{username}}" * VARIABLES_MAX, 0),
        ("{{username}}" * (VARIABLES_MAX + 1), 1),
        ("{{email}}" * (VARIABLES_MAX + 1) + "{{", 3),
    ],
)
def test_faults_of_a_text(content: str, faults: int) -> None:
    found = check(msgspec.structs.replace(DRAFT, content=content))
    assert [refusal.field for refusal in found] == ["content"] * faults


def test_the_type_says_which_variables_there_are() -> None:
    private = msgspec.structs.replace(
        DRAFT, message_type=MessageType.PRIVATE_CUSTOM, content="{{amount}}"
    )
    assert check(msgspec.structs.replace(private, message_type=THANKS)) == []
    assert len(check(private)) == 1


@given(st.text(alphabet="{}xa ", max_size=40))
def test_what_passes_the_check_leaves_no_braces_behind(content: str) -> None:
    draft = msgspec.structs.replace(DRAFT, content=f"{content}{{{{username}}}}")
    if not check(draft):
        left = fill(draft.content, dict.fromkeys(VARIABLES[THANKS], ""))
        assert "{{" not in left
        assert variables_of(draft.content) == ("username",)


def test_the_longest_message_fits() -> None:
    room = TEMPLATE_CONTENT_MAX - VARIABLES_MAX * len("{{itemName}}")
    content = "{{itemName}}" * VARIABLES_MAX + "x" * room
    assert check(msgspec.structs.replace(DRAFT, content=content)) == []
    assert len(fill(content, {"itemName": "n" * 200})) <= CONTENT_MAX


def test_every_bad_field_of_a_template_is_named() -> None:
    raw = {
        "name": "",
        "messageType": "public",
        "mood": "mad",
        "tier": "GOLD",
        "content": "x" * (TEMPLATE_CONTENT_MAX + 1),
        "tags": ["Not OK"],
        "active": "yes",
        "version": 7,
    }
    faults = validate(raw, TemplateDraft)
    assert isinstance(faults, list)
    assert {fault.field.split("[")[0] for fault in faults if fault.field} == {*raw}


# ---- choice ----------------------------------------------------------------------------------


def test_only_what_is_active_and_fits_is_taken() -> None:
    assert chosen([]) is None
    assert chosen([template("off", active=False)]) is None
    assert chosen([template("other", message_type=MessageType.PRIVATE_CUSTOM)]) is None
    assert chosen([template("sad", mood=Mood.SAD)]) is None
    assert chosen([template("vip", tier=MembershipTier.VIP_GOLD)]) is None
    assert chosen([template("any")]) == "any"


def test_the_closest_fit_goes_first() -> None:
    ordered = [
        template("both", mood=Mood.HAPPY, tier=MembershipTier.FREE, usage=9),
        template("mood", mood=Mood.HAPPY, usage=9),
        template("tier", tier=MembershipTier.FREE, usage=9),
        template("any", usage=9, successes=9),
    ]
    recent: tuple[str, ...] = ()
    for expected in ordered:
        assert chosen([*reversed(ordered)], recent) == expected.template_id
        recent = (expected.template_id, *recent)


def test_then_success_then_the_least_recently_used() -> None:
    good = template("good", usage=10, successes=9, last_used_at=NOON)
    fair = template("fair", usage=10, successes=5, last_used_at=NOON - timedelta(days=1))
    new = template("new")
    bad = template("bad", usage=10, successes=1)
    assert chosen([bad, new, fair, good]) == "good"
    assert chosen([bad, new, fair], ()) == "new"  # never used, and one half like `fair`
    assert chosen([bad, fair]) == "fair"
    older = msgspec.structs.replace(good, template_id="older", last_used_at=NOON - timedelta(1))
    assert chosen([good, older]) == "older"


def test_one_that_the_viewer_had_within_five_is_passed_over() -> None:
    best = template("best", usage=10, successes=10)
    others = [template(f"t{number}") for number in range(5)]
    recent = ("best", "t0", "t1", "t2", "t3")
    assert chosen([best, *others], recent) == "t4"
    assert chosen([best, *others], ("t4", "t0", "t1", "t2", "t3", "best")) == "best"


def test_where_there_is_no_other_the_one_had_longest_ago_comes() -> None:
    two = [template("a"), template("b")]
    assert chosen(two, ("a", "b")) == "b"
    assert chosen(two, ("b", "a", "b", "a")) == "a"


@given(st.integers(RECENT_MAX + 1, 12), st.data())
def test_with_six_that_fit_none_comes_again_within_five(count: int, data: st.DataObject) -> None:
    templates = [
        template(
            f"t{number}",
            usage=data.draw(st.integers(0, 20)),
            tier=data.draw(st.sampled_from([None, MembershipTier.FREE])),
        )
        for number in range(count)
    ]
    had: list[str] = []
    for _ in range(20):
        found = chosen(templates, tuple(had))
        assert found is not None
        assert found not in had[:RECENT_MAX]
        had.insert(0, found)
