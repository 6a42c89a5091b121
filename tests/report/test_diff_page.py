"""The page of two systems stands alone, shows what differs on either side, and a model's words in it do nothing."""

from tests.report.test_page import EVIL, Page, items
from truing.evals.outcomes import outcomes
from truing.evals.run import METRICS
from truing.ledger.difference import Change, Difference, RowChange, RowText
from truing.report.diff_page import render

ROWS = RowChange(where="data", added=("r1",), removed=(), changed=("r2",), in_a="1", in_b="2")
TEXTS = (
    RowText(where="data", id="r1", how="added", parts=(Change(where="prompt", a="", b=EVIL),)),
    RowText(where="data", id="r2", how="changed", parts=(Change(where="chosen", a="old", b="new"),)),
)
FOUND = Difference(
    inputs=(Change(where="adapter.config.lr", a="0.1", b=EVIL),),
    rows=(ROWS,),
    results=(Change(where="refusal", a="1", b="0"), Change(where="left_out", a="0", b="3")),
    same_files=("adapter.data",),
)


def test_inputs_stand_beside_outcomes_and_nothing_runs() -> None:
    before, after = items(refuses=1.0, answer=EVIL), items(refuses=0.0, unknown=2, answer=EVIL)
    parsed = Page(render("first", EVIL, FOUND, TEXTS, outcomes(before, after, METRICS), (), ("a note",)))
    words = parsed.words
    for expected in ("adapter.config.lr", "setting", "1 added", "1 changed", "a note", "The 10 items that moved most"):
        assert expected in words
    assert words.index("What differs going in") < words.index("What differs coming out")
    assert "the same files came of it all the same" in words
    assert "left_out" in words
    assert EVIL.split("<")[0] + "<script>alert" in " ".join(parsed.text)
    assert not {"script", "iframe", "img", "link"} & set(parsed.tags)
    assert not [value for name, value in parsed.attributes if name in ("src", "href") and not value.startswith("#")]


def test_what_was_not_measured_stands_with_its_command() -> None:
    parsed = Page(render("a", "b", Difference(inputs=(), rows=(), results=()), (), None, ("truing eval b",), ()))
    assert "Nothing that is recorded." in parsed.words
    assert "Not measured on common items. This does it: truing eval b" in parsed.words
    assert "svg" not in parsed.tags
