//! What a block may say, and what each refusal tells its writer.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const FILE: &str = "depth = 4\nrate = 0.1\n\ndef f():\n    return 1\n\ndef g():\n    return 1\n";

fn files(text: &str) -> Files {
    Files::from([("model.py".to_owned(), Arc::from(text))])
}

fn block(path: &str, search: &str, replace: &str) -> String {
    format!("{path}\n{SEARCH}\n{search}{DIVIDER}\n{replace}{REPLACE}\n")
}

/// `model.py`, once `FILE`, after the edits of `text`.
fn edited(text: &str) -> Result<String, String> {
    let told = |error: EditError| error.to_string();
    let mut files = Edits::parse(text).map_err(told)?.apply(&files(FILE)).map_err(told)?;
    Ok(files.remove("model.py").unwrap())
}

#[test]
fn blocks_apply_in_turn_and_prose_is_not_read() {
    let text = format!(
        "First I make it deeper.\n\n{}Then, in the same file, twice more:\n\n```python\n{}```\n\n{}Done.\n",
        block("model.py", "depth = 4\n", "depth = 6\n"),
        block("`model.py`", "depth = 6\nrate = 0.1\n", "depth = 8\n"),
        block("", "def g():\n    return 1\n", ""),
    );
    assert_eq!(edited(&text).unwrap(), "depth = 8\n\ndef f():\n    return 1\n\n");
}

#[test]
fn a_block_that_searches_for_nothing_makes_a_file() {
    let edits = Edits::parse(&block("new.py", "", "x = 1\n")).unwrap();
    assert_eq!(edits.apply(&Files::new()).unwrap()["new.py"], "x = 1\n");
    let twice = edits.apply(&Files::from([("new.py".to_owned(), Arc::from("x = 0\n"))]));
    assert_eq!(twice.unwrap_err().fault, EditFault::FileExists);
}

#[test]
fn a_file_keeps_how_its_lines_end() {
    let edits = Edits::parse(&block("model.py", "b\n", "B\nC\n")).unwrap();
    for (before, after) in [
        ("a\r\nb\r\nc\r\n", "a\r\nB\r\nC\r\nc\r\n"),
        ("a\nb", "a\nB\nC"),
        ("b", "B\nC"),
        ("b\n", "B\nC\n"),
    ] {
        assert_eq!(edits.apply(&files(before)).unwrap()["model.py"], after);
    }
}

#[test]
fn what_does_not_fit_says_why_and_where() {
    for (text, needles) in [
        (block("model.py", "    return 1\n", "    return 2\n"), &["2 times, at lines 5, 8"][..]),
        (block("model.py", "rate = 0.1\ndepth = 4\n", ""), &["of model.py", "are not in the file"]),
        (block("model.py", "rate = 0.2\n", ""), &["line 2", "no line of it is `rate = 0.2`"]),
        (block("other.py", "x\n", ""), &["of other.py: there is no such file"]),
        (block("", "depth = 4\n", ""), &["names no file"]),
        ("I would change the depth.".to_owned(), &["there is none; write `<<<<<<< SEARCH`"]),
        (format!("model.py\n{SEARCH}\nx\n"), &["`the end` stands where `=======` is due"]),
        (
            block("model.py", "Title\n=======\n", ""),
            &["line 5", "`=======` stands where `>>>>>>> REPLACE` is due"],
        ),
    ] {
        let error = edited(&text).expect_err("it does not fit");
        for needle in needles {
            assert!(error.contains(needle), "no `{needle}` in: {error}");
        }
    }
}

#[test]
fn a_message_is_bounded_whatever_the_edit_says() {
    let long = "é\u{7}".repeat(5000);
    let error = edited(&block(&long, &format!("{long}\n"), "")).unwrap_err();
    assert!(error.len() < 1000 && !error.contains('\u{7}'), "{} bytes", error.len());
    let error = edited(&block("model.py", &format!("{long}\n"), "")).unwrap_err();
    assert!(error.len() < 1000 && !error.contains('\u{7}'), "{} bytes", error.len());
}

proptest! {
    #[test]
    fn replacing_all_of_a_file_gives_the_other_one(
        a in proptest::collection::vec("[a-c =<>]{0,9}", 1..9),
        b in proptest::collection::vec("[a-c =<>]{0,9}", 0..9),
    ) {
        let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let (a, b) = (text(&a), text(&b));
        let files = Edits::parse(&block("model.py", &a, &b)).unwrap().apply(&files(&a)).unwrap();
        prop_assert_eq!(&files["model.py"], &b);
    }
}
