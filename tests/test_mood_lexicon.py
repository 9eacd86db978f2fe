"""The lexicon detector: moods by example, and a confidence whatever the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.mood_messages import Mood
from server.mood_lexicon import EMOTICONS_MAX, TEXT_MAX, LexiconDetector

DETECTOR = LexiconDetector()


@pytest.mark.parametrize(
    ("text", "mood"),
    [
        ("I love this", Mood.HAPPY),
        ("ok", Mood.HAPPY),
        ("WOW, this show is AMAZING, best ever!!!", Mood.EXCITED),
        ("I miss you and feel lonely", Mood.SAD),
        ("this is not good", Mood.SAD),
        ("I hate this, what an idiot", Mood.ANGRY),
        ("I am scared and nervous", Mood.ANXIOUS),
        ("made to be lonely", Mood.SAD),
        ("play the second one", Mood.HAPPY),
        ("turn the camera to the left", Mood.UNKNOWN),
        ("", Mood.UNKNOWN),
        ("\U0001f642", Mood.HAPPY),
        ("привет", Mood.UNKNOWN),
    ],
)
def test_moods_by_example(text: str, mood: Mood) -> None:
    assert DETECTOR.detect(text).mood is mood


def test_good_and_bad_in_balance_are_neutral() -> None:
    found = DETECTOR.detect("the best and the worst")
    assert (found.mood, found.confidence) == (Mood.NEUTRAL, 26)


@given(st.text())
def test_every_text_has_a_mood_and_a_confidence(text: str) -> None:
    found = DETECTOR.detect(text)
    assert 0 <= found.confidence <= 100
    assert (found.confidence == 0) <= (found.mood in (Mood.UNKNOWN, Mood.NEUTRAL))
    assert DETECTOR.detect(text) == found


def test_only_so_much_of_a_text_is_looked_at() -> None:
    cat = "\U0001f638"
    few, many = DETECTOR.detect(cat * EMOTICONS_MAX), DETECTOR.detect(cat * 1_000)
    assert few == many
    assert DETECTOR.detect("a " * TEXT_MAX + "I love you").mood is Mood.UNKNOWN
