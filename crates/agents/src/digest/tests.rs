use proptest::prelude::*;

use super::{Channel, Channels, LIMIT, digest, one_line};

#[path = "../../examples/digest/tale.rs"]
pub(crate) mod tale;

use tale::{ARM, tale};

/// What is in a digest that is not a control character or a line end.
fn clean(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !c.is_control())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_study_and_no_words_make_a_digest_too_large(
        trials in 0_u32..160,
        words in "\\PC{0,40}|[\u{0}-\u{1f}\u{1b}\n«»#é🦀\u{202e}]{0,700}",
        seed in 0_u64..9,
    ) {
        let study = tale(trials, &words, seed);
        let whole = digest(&study, ARM, None, &Channels::all());
        prop_assert!(whole.len() <= LIMIT, "{} bytes", whole.len());
        prop_assert!(clean(&whole));
        prop_assert_eq!(&whole, &digest(&study, ARM, None, &Channels::all()));
        // Nobody's words can begin a line or close their own marks.
        for line in whole.lines() {
            prop_assert_eq!(line.matches('«').count(), line.matches('»').count(), "{}", line);
        }
        for channel in Channel::ALL {
            let closed = Channels::except(&[channel.name()]);
            let (heading, _) = channel.share();
            let heading = format!("## {heading}");
            prop_assert!(!digest(&study, ARM, None, &closed).contains(&heading));
        }
    }

    #[test]
    fn a_line_is_one_line_of_so_many_characters(text in "\\PC{0,80}|[ \n\t\u{7}a🦀]{0,300}", limit in 0_usize..60) {
        let line = one_line(&text, limit);
        prop_assert!(line.chars().count() <= limit + 1);
        prop_assert!(line.chars().all(|c| !c.is_control()));
    }
}

#[test]
fn a_digest_tells_what_happened() {
    let study = tale(300, "words", 3);
    let text = digest(&study, ARM, None, &Channels::all());
    for channel in Channel::ALL {
        if channel != Channel::Saturated {
            let (heading, _) = channel.share();
            assert!(text.contains(&format!("## {heading}\n- ")), "{channel:?} is missing:\n{text}");
        }
    }
    let newest = study.keeps().last().unwrap();
    assert!(text.contains(&format!("- {newest} ")), "{text}");
    assert!(text.contains("remedies tried"), "{text}");
    assert!(text.contains("artifact_too_large -"), "{text}");
    assert!(text.contains("direction right"), "{text}");
}

#[test]
fn an_arm_without_lineage_is_told_nothing_of_any_trial() {
    let study = tale(200, "telling", 5);
    let text = digest(&study, ARM, None, &Channels::without_lineage());
    // What people ask for stays, and the baseline's score.
    assert!(text.contains("## Directions from people"), "{text}");
    let rest: String = text
        .lines()
        .filter(|line| !line.starts_with("- «telling") && !line.starts_with("- telling"))
        .collect();
    assert!(!rest.contains("champion") && !rest.contains("kept"), "{rest}");
    assert!(!Channels::without_lineage().lineage() && Channels::all().lineage());
    assert_eq!(
        Channels::except(&Channels::without_lineage().closed()),
        Channels::without_lineage()
    );
    // Another arm's study tells this one nothing.
    let other = digest(&study, "elsewhere", None, &Channels::all());
    assert!(!other.contains("## Kept") && !other.contains("## Insights"), "{other}");
}
