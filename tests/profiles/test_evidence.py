"""What a profile rests on, in words: counts that add up, and a score that says what so few questions can show."""

import pytest

import prefq
from prefq.profiles.evidence import Evidence, SealedScore, basis, score_sentence

GUESS = "treat it as a guess. So few questions prove little."


@pytest.mark.parametrize(
    ("score", "told"),
    [
        ((6, 6, 5, 3), "A test of this profile: 5 of 6 right; the group's guess 3. Too few questions to be sure."),
        ((6, 6, 6, None), "A test of this profile: 6 of 6 right; a coin gets 3. A good sign, but too few questions"),
        ((6, 6, 3, None), f"A test of this profile did not bear it out (3 of 6 right; a coin gets 3): {GUESS}"),
        ((6, 6, 2, 4), f"A test of this profile did not bear it out (2 of 6 right; the group's guess 4): {GUESS}"),
        ((6, 5, 4.5, 2.5), "A test of this profile: 4½ of 5 right, 1 undecided; the group's guess 2½. Too few"),
        ((1, 1, 0.5, None), f"A test of this profile did not bear it out (½ of 1 right; a coin gets ½): {GUESS}"),
        ((6, 0, 0, 0), "A test of this profile shows nothing: no question was decided."),
    ],
)
def test_a_score_is_told_honestly(score: tuple[int, int, float, float | None], told: str) -> None:
    assert score_sentence(SealedScore(*score)).startswith(told)


@pytest.mark.parametrize("score", [(6, 6, 7, 3), (6, 6, 3, 7), (6, 6, -1, 3), (5, 6, 3, 3)])
def test_a_score_that_cannot_be_is_refused(score: tuple[int, int, float, float]) -> None:
    with pytest.raises(prefq.InputError, match="give scores of at most 6"):
        score_sentence(SealedScore(*score))


@pytest.mark.parametrize(
    ("n_answers", "evidence", "told"),
    [
        (1, None, "1 comparison"),
        (10, Evidence(10), "10 comparisons"),
        (16, Evidence(10, 6), "16 comparisons: 10 from the questions, 6 from the test"),
        (9, Evidence(9, 0, 2), "9 comparisons; 2 replies were both bad or skip, which compares nothing"),
        (10, Evidence(10, 3), "10 comparisons"),  # the profile was stored before the test
    ],
)
def test_the_basis_adds_up(n_answers: int, evidence: Evidence | None, told: str) -> None:
    assert basis(n_answers, evidence) == told
