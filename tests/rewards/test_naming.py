"""Names of base rewards: styles where they go with one, words, numbers; the common taste only where there is one."""

import numpy as np

import prefq
from prefq.rewards.naming import propose_names

POOL = prefq.load_pool("starter")
PROMPTS, RESPONSES = list(POOL.prompts or ()), list(POOL.responses or ())


def test_a_feature_that_goes_with_a_style_is_named_after_it() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(POOL.n_items, 3))
    formal = POOL.feature_space.names.index("formal")
    features = np.column_stack([noise[:, 0], -POOL.features[:, formal] + 0.3 * noise[:, 1], noise[:, 2]])
    found = propose_names(features, PROMPTS, RESPONSES)
    assert (found.names[0], found.opposites[0]) == ("widely liked", "widely disliked")
    assert (found.names[1], found.opposites[1]) == ("casual", "formal")  # as the feature points
    assert found.names[2] == "axis 3"
    top = found.examples[1].top[0]
    row = RESPONSES.index(top.response)
    same = [i for i in range(POOL.n_items) if PROMPTS[i] == PROMPTS[row]]
    assert top.value == max(features[i, 1] - features[same, 1].mean() for i in [row])


def test_what_a_prompt_is_about_is_no_name() -> None:
    codes = np.unique(PROMPTS, return_inverse=True)[1]
    about = np.random.default_rng(1).normal(size=codes.max() + 1)[codes]  # the same for all responses to a prompt
    features = np.column_stack([about, about + 1e-6 * np.arange(POOL.n_items)])
    assert propose_names(features, PROMPTS, RESPONSES).names[1] == "axis 2"


def test_words_of_one_end_name_a_feature() -> None:
    prompts = ["p"] * 200
    responses = [f"{'zebra ' if i >= 180 else ''}{'otter ' if i < 20 else ''}text number" for i in range(200)]
    features = np.column_stack([np.zeros(200), np.arange(200.0)])
    found = propose_names(features, prompts, responses)
    assert (found.names[1], found.opposites[1]) == ("says zebra", "says otter")


def test_nothing_is_widely_liked_where_nobody_agrees() -> None:
    features = np.random.default_rng(2).normal(size=(POOL.n_items, 1))
    assert propose_names(features, PROMPTS, RESPONSES, common=False).names == ("axis 1",)
