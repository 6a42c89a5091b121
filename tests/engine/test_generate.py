"""Generation: against plain greedy decoding, fresh scoring, and itself at other batch sizes."""

import torch

from truing.core.records import Decoding
from truing.engine.generate import Generated, generate
from truing.engine.score import score_forest
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk

NEAR_TIE = 1e-4
PROMPTS = [(5, 6, 7, 8), (5, 6, 7, 9, 10), (5, 6), (11, 12, 13), (5, 6, 7, 8), (1, 2, 3, 4, 5, 6, 7), (20, 21)]


def answers(trunk: Trunk, decoding: Decoding, slots: int, end_id: int = 0) -> dict[int, Generated]:
    return dict(generate(trunk, PROMPTS, decoding, end_id=end_id, slots=slots))


def test_greedy_tokens_are_the_argmax_of_a_fresh_pass(tiny_trunk: Trunk) -> None:
    for number, answer in answers(tiny_trunk, Decoding(max_new_tokens=12), slots=3).items():
        ids = [*PROMPTS[number]]
        for token in (*answer.ids, *([0] if answer.finished else [])):
            forest = build_forest([TokenSequence((*ids, other), len(ids)) for other in range(61)])
            scores = score_forest(tiny_trunk, forest).sums()
            assert scores[token] >= scores.max() - 1e-9
            ids.append(token)


def test_answers_do_not_depend_on_the_number_of_slots(tiny_trunk: Trunk) -> None:
    for temperature in (0.0, 1.0):
        decoding = Decoding(max_new_tokens=15, temperature=temperature, seed=3)
        one, many = (answers(tiny_trunk, decoding, slots) for slots in (1, 7))
        for number in range(len(PROMPTS)):
            assert one[number].ids == many[number].ids or one[number].least_gap < NEAR_TIE


def test_equal_prompts_draw_different_samples_and_a_seed_draws_the_same_again(tiny_trunk: Trunk) -> None:
    first = answers(tiny_trunk, Decoding(max_new_tokens=15, temperature=1.5, seed=1), slots=4)
    again = answers(tiny_trunk, Decoding(max_new_tokens=15, temperature=1.5, seed=1), slots=4)
    other = answers(tiny_trunk, Decoding(max_new_tokens=15, temperature=1.5, seed=2), slots=4)
    assert first == again
    assert first[0].ids != first[4].ids
    assert first[0].ids != other[0].ids


def test_sampled_tokens_follow_the_models_distribution(tiny_trunk: Trunk) -> None:
    """A chi-square test of 4,000 first tokens against the exact probabilities."""
    from scipy.stats import chisquare

    prompt = (5, 6, 7)
    drawn = [
        answer.ids[0] if answer.ids else 0
        for _, answer in generate(
            tiny_trunk, [prompt] * 4000, Decoding(max_new_tokens=1, temperature=1.0), end_id=0, slots=256
        )
    ]
    forest = build_forest([TokenSequence((*prompt, token), 3) for token in range(61)])
    expected = score_forest(tiny_trunk, forest).sums().exp().numpy() * len(drawn)
    counts = torch.bincount(torch.tensor(drawn), minlength=61).numpy()
    likely = expected >= 5
    observed = [*counts[likely], counts[~likely].sum()]
    assert chisquare(observed, [*expected[likely], expected[~likely].sum()]).pvalue > 1e-3


def test_returned_logprobs_equal_a_fresh_scoring(tiny_trunk: Trunk) -> None:
    for temperature in (0.0, 0.7):
        for number, answer in answers(tiny_trunk, Decoding(max_new_tokens=9, temperature=temperature), slots=3).items():
            ids = (*PROMPTS[number], *answer.ids, *([0] if answer.finished else []))
            (fresh,) = score_forest(tiny_trunk, build_forest([TokenSequence(ids, len(PROMPTS[number]))])).lists()
            assert torch.allclose(torch.tensor(answer.logprobs), torch.tensor(fresh, dtype=torch.float32), atol=1e-5)


def test_a_cut_answer_is_not_called_finished(tiny_trunk: Trunk) -> None:
    for answer in answers(tiny_trunk, Decoding(max_new_tokens=2), slots=2, end_id=60).values():
        assert answer.finished == (len(answer.ids) < 2)


def test_the_real_model_returns_logprobs_within_1e4_of_scoring(real_trunk: Trunk) -> None:
    texts = ("The capital of France is", "Once upon a time")
    prompts = [tuple(real_trunk.tokenizer(text)["input_ids"]) for text in texts]
    for number, answer in generate(real_trunk, prompts, Decoding(max_new_tokens=12), end_id=2):
        ended = (2,) if answer.finished else ()
        sequence = TokenSequence((*prompts[number], *answer.ids, *ended), len(prompts[number]))
        with torch.no_grad():
            (fresh,) = score_forest(real_trunk, build_forest([sequence])).lists()
        assert max(abs(a - b) for a, b in zip(answer.logprobs, fresh, strict=True)) < 1e-4
