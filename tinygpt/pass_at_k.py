"""pass@k: the chance that one or more of k drawn answers to a task are right.

Chen and others, "Evaluating Large Language Models Trained on Code", 2021.
"""

from math import comb


def pass_at_k(drawn: int, right: int, k: int) -> float:
    """The share of all choices of k among `drawn` answers, `right` of which are right, that hold a
    right one: 1 - C(drawn - right, k) / C(drawn, k). Its mean over draws is the true chance.

    Raises ValueError where `right` is not from 0 to `drawn`, or k not from 1 to `drawn`.
    """
    if not 0 <= right <= drawn:
        raise ValueError(f"{right} right of {drawn}: right answers are from 0 to as many as drawn")
    if not 1 <= k <= drawn:
        raise ValueError(f"pass@{k} of {drawn} drawn answers: k is from 1 to as many as are drawn")
    return 1 - comb(drawn - right, k) / comb(drawn, k)
