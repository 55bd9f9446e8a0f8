//! The page of whole studies.

use empiric_core::{Cause, Event, Failure, Operator, Outcome, Phase, Purpose, TrialNo, Verdict};
use empiric_decide::Wanted;
use empiric_testkit::story::{DIFF, Story, self_reported, task};
use jiff::Timestamp;

use super::{
    html,
    svg::Scale,
    text::{Decimals, clip, esc, flat, seconds},
};
use crate::{Facts, Report};

fn facts() -> Facts {
    Facts {
        version: "0.1.0".to_owned(),
        host: "bench".to_owned(),
        ledger_head: Some("6d".repeat(32)),
        command: "empiric run tasks/golf --study studies/golf --trials 60 --seed 7".to_owned(),
        verify: "empiric verify studies/golf".to_owned(),
        generated_at: Timestamp::from_second(1_770_000_000).unwrap(),
    }
}

fn page(story: &Story) -> String {
    page_with(story, DIFF, &facts())
}

fn page_with(story: &Story, diff: &str, facts: &Facts) -> String {
    let report = Report::of(&story.study, &|_| Some(diff.to_owned()), facts);
    html(&story.study, &report)
}

/// What lies between `from` and the next `to`.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let start = page.find(from).unwrap_or_else(|| panic!("no {from}"));
    let end = page[start..].find(to).unwrap_or_else(|| panic!("no {to} after {from}"));
    &page[start..start + end]
}

/// The score curve as it is drawn on a wide screen.
fn curve(page: &str) -> &str {
    between(
        between(page, "<section id=\"curve\">", "</section>"),
        "<figure>",
        "<svg class=\"narrow\"",
    )
}

/// Without markup and with single spaces.
fn words(html: &str) -> String {
    let mut out = String::new();
    for part in html.split('<') {
        let text = part.split_once('>').map_or(part, |(_, text)| text);
        out.push_str(text);
        out.push(' ');
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every element that was opened is closed in order, attributes are quoted, and nothing loads or runs anything.
fn check_markup(page: &str) {
    let void = ["meta", "!DOCTYPE"];
    // their end tags may be left out (HTML, 13.1.2.4)
    let optional = ["td", "th"];
    let mut open: Vec<&str> = Vec::new();
    let body = page
        .split_once("<style>")
        .map(|(head, rest)| [head, rest.split_once("</style>").unwrap().1]);
    for tag in body.unwrap().iter().flat_map(|part| part.split('<').skip(1)) {
        let tag = tag.split_once('>').unwrap_or_else(|| panic!("`<{tag}` is not closed")).0;
        if let Some(name) = tag.strip_prefix('/') {
            while open.last().is_some_and(|last| *last != name && optional.contains(last)) {
                open.pop();
            }
            assert_eq!(open.pop(), Some(name), "in </{name}>");
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap();
        assert!(
            !["script", "link", "img", "iframe", "object", "base", "form"].contains(&name),
            "<{tag}>"
        );
        assert!(!tag.contains(" on") && !tag.contains("javascript:"), "<{tag}>");
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        if let Some(link) = tag.split("href=\"").nth(1) {
            assert!(link.starts_with('#'), "<{tag}>");
            let target = link[1..].split('"').next().unwrap();
            assert!(page.contains(&format!("id=\"{target}\"")), "nothing has id {target}");
        }
        if !tag.ends_with('/') && !void.contains(&name) {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    assert!(!page.contains("NaN") && !page.contains("inf ") && !page.contains("://"));
}

#[test]
fn a_finished_study() {
    let story = Story::sixty();
    let page = page(&story);
    check_markup(&page);
    assert_eq!(page, self::page(&Story::sixty()));
    insta::assert_snapshot!("verdict", words(between(&page, "<header>", "<nav>")));
    insta::assert_snapshot!("last_keep", between(&page, "<article id=\"t44\">", "</article>"));
    insta::assert_snapshot!(
        "lineage",
        words(between(&page, "<section id=\"lineage\">", "<svg class=\"narrow\""))
    );
    insta::assert_snapshot!(
        "failures",
        words(between(&page, "<section id=\"failures\">", "</section>"))
    );
    insta::assert_snapshot!(
        "predictions",
        words(between(&page, "<section id=\"predictions\">", "<figure>"))
    );
    insta::assert_snapshot!("method", words(between(&page, "<section id=\"method\">", "</main>")));
}

#[test]
fn every_trial_is_drawn_by_its_outcome() {
    let story = Story::sixty();
    let page = page(&story);
    let curve = curve(&page);
    let counts = story.study.counts();
    let drawn = |class: &str| curve.matches(&format!("class=\"{class}\"")).count();
    let failed: u32 = counts.failed.values().sum();
    assert_eq!(drawn("keep"), counts.keep as usize);
    assert_eq!(drawn("discard"), counts.discard as usize);
    assert_eq!(drawn("inconclusive"), counts.inconclusive as usize);
    assert_eq!(drawn("failed"), failed as usize);
    let lineage = between(&page, "<section id=\"lineage\">", "</svg>");
    let marks = ["keep", "discard", "inconclusive", "failed", "baseline"];
    let drawn = marks.map(|class| lineage.matches(&format!("class=\"{class}\"")).count());
    assert_eq!(drawn.iter().sum::<usize>(), story.study.trials().len());
    assert!(lineage.contains("class=\"merge\""));
}

#[test]
fn without_an_improvement_it_says_so() {
    let mut story = Story::new(task());
    let early = page(&story);
    check_markup(&early);
    assert!(early.contains("Nothing has been shown to beat the baseline."));
    for _ in 0..3 {
        let trial = story.propose(&[TrialNo::BASELINE], Operator::Tune, -0.2, "worse", Some(0.1));
        story.settle(trial);
    }
    story.close();
    let page = page(&story);
    check_markup(&page);
    assert!(page.contains("Nothing has been shown to beat the baseline."));
    assert!(page.contains("Nothing: no trial has passed confirmation"));
    assert!(page.contains("No trial failed."));
}

#[test]
fn before_the_baseline_has_ended() {
    let story = Story::empty(task());
    let unmeasured = page(&story);
    check_markup(&unmeasured);
    assert!(unmeasured.contains("The baseline has not been measured yet."));
    let mut story = Story::empty(task());
    let baseline = story.propose(&[], Operator::Draft, 0.0, "", None);
    story.break_down(baseline, Failure::new(Phase::Train, Cause::OutOfMemory));
    story.settle(baseline);
    let page = page(&story);
    check_markup(&page);
    assert!(page.contains("The baseline could not be measured"));
}

#[test]
fn a_gain_that_the_closing_comparison_does_not_confirm() {
    for (effect, finding) in [(-0.03, "finds no gain"), (-0.01, "does not tell it from")] {
        kept_by_chance(effect, finding);
    }
}

fn kept_by_chance(effect: f64, finding: &str) {
    let mut story = Story::new(task());
    let trial = story.propose(&[TrialNo::BASELINE], Operator::Tune, effect, "luck", None);
    let outcome = Outcome::Valid {
        verdict: Verdict::Keep,
        reason: "by chance".to_owned(),
        gain: Some(0.02),
        gain_interval: None,
    };
    story.conclude(trial, outcome);
    story.close();
    let page = page(&story);
    check_markup(&page);
    let claim = words(between(&page, "<p class=\"claim\">", "</p>"));
    let expected = format!("t1 was kept, but the closing comparison {finding} ");
    assert!(claim.starts_with(&expected), "{claim}");
    assert!(page.contains("class=\"verdict unsure\""));
}

#[test]
fn self_reported_and_unconfined_is_said_first() {
    let mut story = Story::new(self_reported());
    story.push(Event::SessionStarted {
        version: "0.1.0".to_owned(),
        host: "bench".to_owned(),
        sandbox: "none".to_owned(),
        cgroup: "watchdog".to_owned(),
        slots: Vec::new(),
    });
    let page = page(&story);
    check_markup(&page);
    let top = between(&page, "<header>", "<nav>");
    assert!(top.contains("<b>self-reported</b>"));
    let trial = story.propose(&[TrialNo::BASELINE], Operator::Tune, 0.2, "better, I say", None);
    story.settle(trial);
    let kept = self::page(&story);
    check_markup(&kept);
    assert!(kept.contains("t1</a> beats the baseline by its own account;"));
    assert!(kept.contains("class=\"verdict unsure\"") && kept.contains("<em>self-reported</em>"));
    assert!(top.contains("<b>Self-reported.</b>") && top.contains("<b>No sandbox.</b>"));
    assert!(page.contains("<code>accuracy &gt;= 0.96</code>"));
}

#[test]
fn values_of_another_segment_are_set_apart() {
    let mut story = Story::new(task());
    let trial = story.propose(&[TrialNo::BASELINE], Operator::Tune, 0.1, "better", None);
    story.settle(trial);
    story.segment(1);
    let kept = page(&story);
    check_markup(&kept);
    assert!(kept.contains("t1</a> was kept, and has nothing to be compared with now."));
    let trial = story.propose(&[trial], Operator::Tune, 0.1, "better still", None);
    for trial in [TrialNo::BASELINE, trial] {
        let purpose = Purpose::Search;
        (0..5).for_each(|index| story.measure(Wanted { trial, purpose, index }));
    }
    let page = page(&story);
    check_markup(&page);
    assert!(page.contains("More than one segment."));
    let curve = curve(&page);
    assert_eq!(curve.matches("class=\"seam\"").count(), 1);
    assert_eq!(curve.matches("class=\"band\"").count(), 2);
}

#[test]
fn hostile_text_is_only_text() {
    let evil = "</title><script>alert('1')</script>\"><img src=x onerror=alert(2)>&amp;\u{202e}gnp.exe\u{0}\u{1b}[31m\u{feff}";
    let mut task = self_reported();
    for text in [&mut task.name, &mut task.summary, &mut task.metric.unit] {
        *text = evil.to_owned();
    }
    task.stages[0].command.run = vec![evil.to_owned()];
    let mut story = Story::new(task);
    let trial = story.propose(&[TrialNo::BASELINE], Operator::Tune, 0.2, evil, Some(0.1));
    let outcome = Outcome::Valid {
        verdict: Verdict::Keep,
        reason: evil.to_owned(),
        gain: Some(0.2),
        gain_interval: Some([0.1, 0.3]),
    };
    story.conclude(trial, outcome);
    let cause = Cause::GateMiss { metric: evil.to_owned() };
    let excerpt = format!("{evil}\n{}", evil.repeat(10_000));
    let failure = Failure::new(Phase::Score, cause).margin(f64::NEG_INFINITY).excerpt(excerpt);
    story.stillborn(trial, failure);
    story.push(Event::Noted { by: evil.to_owned(), text: evil.to_owned() });
    let mut facts = facts();
    facts.host = evil.to_owned();
    facts.command = evil.to_owned();
    facts.version = evil.to_owned();
    facts.ledger_head = Some(evil.to_owned());
    let diff = format!("diff --git a/x b/x\n@@ -1 +1 @@\n-{evil}\n+{}\n", evil.repeat(10_000));
    let page = page_with(&story, &diff, &facts);
    check_markup(&page);
    assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&gt;&lt;img"));
    assert!(page.contains("&amp;amp;\\u{202e}gnp.exe\\u{0}\\u{1b}[31m\\u{feff}"));
    assert!(
        page.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}' && c != '\u{feff}')
    );
    assert!(page.len() < 200_000, "{} bytes", page.len());
}

#[test]
fn a_large_study_stays_a_small_file() {
    let story = Story::many(5000);
    let page = page(&story);
    check_markup(&page);
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
    let curve = curve(&page);
    assert_eq!(curve.matches("class=\"keep\"").count(), story.study.keeps().len());
    let drawn = curve.matches("class=\"discard\"").count();
    assert!((200..2500).contains(&drawn), "{drawn} marks");
    assert!(page.contains("older kept trials and ancestors are left out"));
}

#[test]
fn text_is_escaped_and_bounded() {
    assert_eq!(esc("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
    assert_eq!(esc("\u{7}\u{9b}\u{2066}\u{200d}\r"), "\\u{7}\\u{9b}\\u{2066}\\u{200d}\\u{d}");
    assert_eq!(esc("naïve → 日本\n\t"), "naïve → 日本\n\t");
    assert_eq!((clip("four", 4), clip("fiver", 4)), ("four".to_owned(), "fiv…".to_owned()));
    assert_eq!(flat("  a\n\n b  ", 10), "a b");
    assert_eq!(flat(&"x ".repeat(1_000_000), 5), "x x …");
}

#[test]
fn numbers_are_as_exact_as_their_intervals() {
    let exact = Decimals::around(0.257_34, Some([0.245_3, 0.269_2]));
    assert_eq!(
        (exact.show(2.358_02), exact.signed(-0.25)),
        ("2.358".to_owned(), "−0.250".to_owned())
    );
    assert_eq!(Decimals::around(15_321.4, None).show(15_321.4), "15321");
    assert_eq!(Decimals::of(1.5e-12, 3).show(1.5e-12), "1.500e-12");
    assert_eq!(Decimals::around(0.0, Some([0.0, 0.0])).signed(0.0), "0");
    assert_eq!(Decimals::of(1.0, 3).signed(f64::NAN), "not finite");
    assert_eq!(
        [seconds(7.23), seconds(61.0), seconds(600.0), seconds(9000.0)],
        ["7.2 s", "61 s", "10 min", "2.5 h"]
    );
}

#[test]
fn scales_survive_any_numbers() {
    let scale = Scale::new(0.0, 10.0, [100.0, 200.0]);
    assert_eq!(scale.at(5.0).0, 150.0);
    let labels: Vec<String> = scale.ticks(5, 0.0).into_iter().map(|(_, text)| text).collect();
    assert_eq!(labels, ["0", "2", "4", "6", "8", "10"]);
    let odd = [0.0, -0.0, 1.0, -1e308, 1e308, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, 1e-300];
    for (low, high) in odd.iter().flat_map(|low| odd.map(|high| (*low, high))) {
        let scale = Scale::new(low, high, [0.0, 100.0]);
        assert!(scale.ticks(6, 0.0).len() <= 18);
        for value in odd {
            assert!((0.0..=100.0).contains(&scale.at(value).0), "{value} in {low}..{high}");
        }
    }
}

#[test]
fn the_supervisors_words_are_shown_of_trials_that_were_kept_and_of_others() {
    let mut story = Story::new(task());
    let valid = |verdict| Outcome::Valid {
        verdict,
        reason: "the audit found +0.1".to_owned(),
        gain: Some(0.1),
        gain_interval: None,
    };
    for (verdict, why) in
        [(Verdict::Keep, "a <large> gain"), (Verdict::Inconclusive, "a larger one")]
    {
        let trial = story.propose(&[TrialNo::BASELINE], Operator::Tune, 0.1, "it helps", None);
        story.doubt(trial, why);
        story.conclude(trial, valid(verdict));
    }
    let page = page_with(&story, "", &facts());
    check_markup(&page);
    let keeps = words(between(&page, "<section id=\"keeps\">", "</section>"));
    assert!(keeps.contains("quarantine red line 9 (jump): a &lt;large&gt; gain"), "{keeps}");
    assert!(
        keeps.contains(
            "not kept t2 red line 9 (jump): a larger one inconclusive: the audit found +0.1"
        ),
        "{keeps}"
    );
}

#[test]
fn the_markdown_says_the_same_and_quotes_what_it_quotes() {
    let story = Story::sixty();
    let diff = format!("{DIFF}+``` a fence within\n+\u{202e}\u{7}\n");
    let report = Report::of(&story.study, &|no| (no.0 == 52).then(|| diff.clone()), &facts());
    let text = crate::markdown(&report);
    insta::assert_snapshot!("markdown", text);
    assert_eq!(text, crate::markdown(&report));
    let evil = "<script>|</td>`*[x](y)\n# head";
    let mut story = Story::new(self_reported());
    let trial = story.propose(&[TrialNo::BASELINE], Operator::Tune, 0.2, evil, Some(0.1));
    story.settle(trial);
    story.stillborn(trial, Failure::new(Phase::Static, Cause::EmptyEdit).excerpt(evil));
    story.push(Event::Noted { by: evil.to_owned(), text: evil.to_owned() });
    let text = crate::markdown(&Report::of(&story.study, &|_| None, &facts()));
    assert!(!text.replace("\\<", "").contains('<') && !text.contains("\n# head"), "{text}");
    assert!(text.contains("\\<script\\>\\|\\</td\\>\\`\\*\\[x\\](y) \\# head"));
}

#[test]
fn the_json_holds_all_that_the_page_says_in_plain_words() {
    let story = Story::sixty();
    let report = Report::of(&story.study, &|_| Some(DIFF.to_owned()), &facts());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["finding"]["claim"], "t52 beats the baseline.");
    assert_eq!(json["keeps"].as_array().unwrap().len(), 11);
    assert_eq!(json["keeps"][0]["diff"], DIFF);
    assert_eq!(json["curve"]["kept"].as_array().unwrap().len(), 11);
    let each = json["cost"]["per_percent"]["cpu_s"].as_f64().unwrap();
    let spent = json["cost"]["total"]["cpu_s"].as_f64().unwrap();
    let percent = json["cost"]["per_percent"]["percent"].as_f64().unwrap();
    assert!((each * percent - spent).abs() < 1e-6 * spent && (12.0..14.0).contains(&percent));
    assert!(!json.to_string().contains("**"));
}
