"""The .env file is read as Compose reads it, and never rewritten."""

import pytest

from compose.stack.dotenv import append, parse
from compose.stack.errors import Refused


def test_reads_quotes_export_and_comments():
    """Every form of an assignment that Compose accepts gives its value."""
    text = '# mine\nA=1\nexport B=two words # why\nC=\'$raw "x"\'\nD="a\\nb"  # c\nE=\nF=a#b\nG=#1\n'
    assert parse(text) == {
        "A": "1",
        "B": "two words",
        "C": '$raw "x"',
        "D": "a\nb",
        "E": "",
        "F": "a#b",
        "G": "#1",
    }


def test_reads_what_else_compose_reads():
    """Values over several lines, colons, names alone, names with dots and dashes, a word behind a quote."""
    text = '\ufeffA: b\r\nFOO\nMY.KEY=x\nA-B=\nQ="one\ntwo" # c\nexport E=f\nS=\'it\\\'s\nme\'\nL="x" y\nZ=1'
    assert parse(text) == {
        "A": "b", "MY.KEY": "x", "A-B": "", "Q": "one\ntwo", "E": "f", "S": "it's\nme", "L": "x", "Z": "1",
    }  # fmt: skip


@pytest.mark.parametrize("line", ["two words=1", "x$=1", 'A="a"b"', "FOO # c", "A='open"])
def test_what_compose_refuses_is_refused(line):
    """A line that Compose cannot read is named by its number."""
    with pytest.raises(Refused, match="line 2"):
        parse(f"FIRST=1\n{line}\n")


def test_variables_are_filled_in_as_compose_does():
    """The environment first, then what stands above; not between single quotes, not behind a backslash."""
    text = "A=b\nB=${A}z\nC=\"q$A \\$A\"\nD='$A'\nE=a$$b\nF=${NO:-d}\nG=$H"
    assert parse(text, environment={"H": "h"}) == {
        "A": "b", "B": "bz", "C": "qb $A", "D": "$A", "E": "a$b", "F": "d", "G": "h",
    }  # fmt: skip


def test_last_assignment_wins():
    """A name given twice has its last value."""
    assert parse("A=1\nA=2\n") == {"A": "2"}


def test_bad_lines_are_named_by_number_never_by_text():
    """Both bad lines are named at once, and what stands there is not shown."""
    with pytest.raises(Refused) as refusal:
        parse("A=1\nhunter 2\nB='open hunter3\n", where="/x/.env")
    assert "line 2, 3" in str(refusal.value)
    assert "/x/.env" in str(refusal.value)
    assert "hunter" not in str(refusal.value)


def test_append_leaves_every_line_as_it_is():
    """Comments, order and a missing final newline survive."""
    before = "# keep\nA = 1"
    after = append(before, {"B": "x"}, "generated")
    assert after == "# keep\nA = 1\n# generated\nB=x\n"
    assert append(before, {}) == before


@pytest.mark.parametrize(
    "value", ["p$word #1", "it's", "a\\b", "two words", "#1", '"x"', "a\nb", " x ", "", "plain/1+2="]
)
def test_what_is_added_is_read_back(value):
    """A password with a dollar, a hash or a quote is the same password for us and for Compose."""
    text = append("", {"PASSWORD": value})
    assert parse(text) == {"PASSWORD": value}
    assert text == f"PASSWORD={value}\n" or "'" in text or '"' in text
