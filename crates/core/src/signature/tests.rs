//! The same failure is recognised, another one is not mistaken for it.

use proptest::prelude::*;

use super::*;
use crate::Phase;

fn exception(excerpt: &str) -> Signature {
    Failure::new(Phase::Train, Cause::Exception { status: 1 }).excerpt(excerpt).signature()
}

#[test]
fn a_traceback_is_its_last_line_and_the_innermost_frame_of_the_recipe() {
    let text = r#"Traceback (most recent call last):
  File "/slot/s0/recipe/train.py", line 41, in <module>
    main(7)
  File "/slot/s0/recipe/model.py", line 12, in forward
    return a @ b
  File "/usr/lib/python3.11/site-packages/numpy/core.py", line 99, in matmul
    raise ValueError
ValueError: shapes (32, 64) and (48,) not aligned: 64 (dim 1) != 48 (dim 0)
"#;
    let signature = exception(text);
    assert_eq!(
        signature.text,
        "exception (exit 1): ValueError: shapes (#) and (#,) not aligned: # (dim #) != # (dim #) in model.py forward"
    );
    let elsewhere = text.replace("/slot/s0", "/tmp/x").replace("41", "9").replace("32", "128");
    assert_eq!(exception(&elsewhere), signature);
    assert_ne!(exception(&text.replace("in forward", "in backward")), signature);
    assert_ne!(exception(&text.replace("ValueError:", "TypeError:")), signature);
}

#[test]
fn what_differs_from_run_to_run_goes() {
    for (one, other, text) in [
        ("took 3.25s at 0x7f00ab12", "took 900 ms at 0xdeadbeef", "took # at #"),
        ("no file '/tmp/tmpab12cd34/x.bin'", "no file 'data/y'", "no file '/'"),
        ("job 0190a4c2-77aa-7000-8000-0123456789ab lost", "job 7 lost", "job # lost"),
        ("loss -1.5e-7 after 12 steps", "loss 3 after 4_000", "loss # after #"),
        ("bad values [1, 2, 3]", "bad values [4]", "bad values [#]"),
        ("tmpab12cd34 is gone", "tmpzz_2cd34 is gone", "# is gone"),
        ("layer3.weight", "layer12.weight", "layer#.weight"),
        ("2026-01-02 03:04:05 killed", "2025-11-12 13:14:15 killed", "#:#:# killed"),
    ] {
        let signature = exception(one);
        assert_eq!(signature, exception(other), "{one} | {other}");
        assert_eq!(signature.text, format!("exception (exit 1): {text}"), "{one}");
    }
}

#[test]
fn a_panic_is_its_message_and_a_program_without_a_traceback_its_last_line() {
    let panic = "thread 'main' panicked at src/main.rs:10:5:\nindex out of bounds: the len is 3\nnote: run with `RUST_BACKTRACE=1`\n";
    assert_eq!(exception(panic).text, "exception (exit 1): index out of bounds: the len is #");
    assert_eq!(
        exception("one\nmake: *** [all] Error 2\n\n").text,
        "exception (exit 1): make: *** [all] Error #"
    );
    assert_eq!(exception("").text, "exception (exit 1)");
}

#[test]
fn limits_and_gates_are_recognised_by_themselves() {
    let at = |text: &str| Failure::new(Phase::Train, Cause::WallLimit).excerpt(text).signature();
    assert_eq!(at("epoch 3"), at("loading the data"));
    assert_eq!(at("").text, "wall_limit");
    let gate = |metric: &str, margin| {
        Failure::new(Phase::Decide, Cause::GateMiss { metric: metric.to_owned() })
            .margin(margin)
            .signature()
    };
    assert_eq!(gate("size", -1.0), gate("size", -2.0));
    assert_ne!(gate("size", -1.0), gate("accuracy", -1.0));
    let smoke = Failure::new(Phase::Smoke, Cause::WallLimit).signature();
    assert_ne!(smoke.hash, at("").hash, "another stage is another failure");
}

/// Words of a message with numbers, paths and addresses at the places of `holes`.
fn message(words: &[String], holes: &[Hole], which: usize) -> String {
    let mut text = String::from("RuntimeError:");
    for (word, hole) in words.iter().zip(holes) {
        text.push_str(&format!(" {word} {}", hole.0[which]));
    }
    text
}

/// Two things that differ from run to run and mean the same.
#[derive(Debug, Clone)]
struct Hole([String; 2]);

fn hole() -> impl Strategy<Value = Hole> {
    let number =
        || "(-?[0-9]{1,9}(\\.[0-9]{1,6})?|[1-9]\\.[0-9]{1,4}e-?[0-9]{1,2})".prop_map(String::from);
    let path = || "(/[a-z0-9]{1,9}){1,4}(\\.py)?".prop_map(String::from);
    let address = || "0x[0-9a-f]{1,12}".prop_map(String::from);
    let uuid =
        || "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}".prop_map(String::from);
    prop_oneof![
        (number(), number()).prop_map(|(a, b)| Hole([a, b])),
        (path(), path()).prop_map(|(a, b)| Hole([a, b])),
        (address(), address()).prop_map(|(a, b)| Hole([a, b])),
        (uuid(), uuid()).prop_map(|(a, b)| Hole([a, b])),
        (number(), address()).prop_map(|(a, b)| Hole([a, b])),
    ]
}

proptest! {
    #[test]
    fn normalising_is_idempotent_and_bounded(text in "(?s).{0,400}") {
        let once = normal(&text);
        prop_assert_eq!(&normal(&once), &once);
        prop_assert!(once.chars().count() <= LINE);
        let signature = exception(&text);
        prop_assert!(signature.text.chars().count() <= 3 * LINE);
        prop_assert!(!signature.text.contains(char::is_control));
    }

    #[test]
    fn normalising_is_idempotent_on_what_programs_print(
        text in "([a-z#/.,:=+e ]|[0-9]|ms|s|%|0x|tmp|\\(|\\]|, ){0,60}",
    ) {
        let once = normal(&text);
        prop_assert_eq!(&normal(&once), &once);
    }

    #[test]
    fn the_same_failure_with_other_numbers_and_paths_is_recognised(
        words in proptest::collection::vec("[a-z]{3,12}", 1..6),
        holes in proptest::collection::vec(hole(), 6),
    ) {
        let of = |which| exception(&message(&words, &holes, which));
        prop_assert_eq!(of(0), of(1));
    }

    #[test]
    fn other_exceptions_are_other_failures(
        one in "[A-Z][a-z]{2,9}Error", other in "[A-Z][a-z]{2,9}Error", text in "[a-z ]{0,30}",
    ) {
        prop_assume!(one != other);
        prop_assert_ne!(exception(&format!("{one}: {text}")), exception(&format!("{other}: {text}")));
    }
}
