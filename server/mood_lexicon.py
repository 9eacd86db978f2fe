"""A mood detector that knows a lexicon: VADER's scores, and words for what they leave open.

VADER says how positive or negative a text is, with negation, emphasis and emoticons. Which of two
negative moods it is, it does not say; a few stems do.
"""

import re
from typing import Any, Final

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from protocol.mood_messages import DetectedMood, Mood

POLAR_MIN: Final = 0.05
"""Of the compound score, -1..1: below it a text is neutral (VADER's own bound)."""
EXCITED_MIN: Final = 0.75
"""From here on a positive text is more than happy."""

TEXT_MAX: Final = 200
EMOTICONS_MAX: Final = 10
"""Characters that are looked at, and those of them beyond ASCII. A few words tell a mood; VADER
makes several of each emoticon, and a thousand would hold up every room for most of a second."""

_STEMS: Final = {
    Mood.ANXIOUS: ("afraid", "anxi", "fear", "nervous", "panic", "scare", "scary", "worr"),
    Mood.ANGRY: (
        "angr",
        "annoy",
        "awful",
        "fuck",
        "furious",
        "hate",
        "idiot",
        "rage",
        "scam",
        "stupid",
        "terrible",
    ),
}
"""In this order; a negative text with none of them is sad."""
_WORD: Final = re.compile(r"[a-z']+")


class LexiconDetector:
    """Implements actors.messaging.ports.MoodDetector. English alone; other texts are UNKNOWN."""

    def __init__(self) -> None:
        self._analyzer = SentimentIntensityAnalyzer()

    def detect(self, text: str) -> DetectedMood:
        """Takes a millisecond or two. Of a polar mood the confidence is the size of the compound
        score, of a neutral one the share of neutral words."""
        scores: dict[str, Any] = self._analyzer.polarity_scores(_looked_at(text))
        compound = scores["compound"]
        if scores["pos"] == scores["neg"] == 0:
            return DetectedMood(Mood.UNKNOWN, 0)
        if abs(compound) < POLAR_MIN:
            return DetectedMood(Mood.NEUTRAL, round(100 * scores["neu"]))
        return DetectedMood(_polar(text, compound), round(100 * abs(compound)))


def _looked_at(text: str) -> str:
    emoticons = 0
    kept: list[str] = []
    for character in text[:TEXT_MAX]:
        emoticons += not character.isascii()
        if character.isascii() or emoticons <= EMOTICONS_MAX:
            kept.append(character)
    return "".join(kept)


def _polar(text: str, compound: float) -> Mood:
    if compound > 0:
        return Mood.EXCITED if compound >= EXCITED_MIN else Mood.HAPPY
    words = _WORD.findall(text.lower())
    for mood, stems in _STEMS.items():
        if any(word.startswith(stems) for word in words):
            return mood
    return Mood.SAD
