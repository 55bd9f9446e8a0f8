//! The screen as it is drawn of a told study, and what the keys do.

use empiric_core::{Operator, Purpose, TrialNo};
use empiric_decide::Wanted;
use empiric_ledger::Request;
use empiric_testkit::story::{DIFF, Story, task};
use jiff::Timestamp;
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};

use super::{
    app::{App, Want},
    detail::{Detail, wrapped},
    draw::{Paint, draw},
    follow::{Fold, Sight},
};

fn sight(story: &Story, at_work: bool) -> Sight {
    let mut fold = Fold::default();
    for record in &story.records {
        fold.take(record, true).unwrap();
    }
    fold.sight(at_work).unwrap()
}

/// Sixty trials, and one more under way.
fn under_way() -> Story {
    let mut story = Story::sixty().without_last(1);
    let champion = story.study.champion();
    let text = "one more \u{1b}[31mred\u{1b}[0m";
    let trial = story.propose(&[champion], Operator::Improve, 0.0, text, None);
    story.lease(Wanted { trial, purpose: Purpose::Search, index: 0 });
    story
}

fn screen(app: &mut App, sight: &Sight, [width, height]: [u16; 2]) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let last = sight.feed.last().unwrap().at;
    let now = last + jiff::SignedDuration::from_secs(75);
    terminal.draw(|frame| draw(frame, app, sight, now, Paint { colour: true })).unwrap();
    terminal.backend().to_string()
}

fn press(app: &mut App, sight: &Sight, keys: &str) -> Vec<Want> {
    let press = |key| app.key(KeyEvent::new(key, KeyModifiers::NONE), &sight.study);
    let code = |c| match c {
        '\n' => KeyCode::Enter,
        '\u{1b}' => KeyCode::Esc,
        c => KeyCode::Char(c),
    };
    keys.chars().map(code).map(press).filter(|want| *want != Want::Nothing).collect()
}

#[test]
fn the_study_at_two_sizes() {
    let sight = sight(&under_way(), true);
    let mut app = App::new(&sight);
    insta::assert_snapshot!("small", screen(&mut app, &sight, [80, 24]));
    insta::assert_snapshot!("large", screen(&mut app, &sight, [200, 50]));
}

#[test]
fn pages_of_a_trial_the_lineage_and_the_keys() {
    let sight = sight(&Story::sixty(), false);
    let mut app = App::new(&sight);
    assert_eq!(press(&mut app, &sight, "c\n"), [Want::Open(TrialNo(52))]);
    let trial = sight.study.trial(TrialNo(44)).unwrap();
    app.open(Detail::told(&sight.study, trial, Some(DIFF)));
    insta::assert_snapshot!("trial", screen(&mut app, &sight, [80, 40]));
    press(&mut app, &sight, "l");
    insta::assert_snapshot!("lineage", screen(&mut app, &sight, [80, 24]));
    press(&mut app, &sight, "?");
    insta::assert_snapshot!("keys", screen(&mut app, &sight, [80, 32]));
}

#[test]
fn any_size_and_any_beginning_can_be_drawn() {
    let stories = [Story::empty(task()), Story::new(task()), under_way()];
    for story in &stories {
        let sight = sight(story, true);
        for size in [[1, 1], [5, 3], [24, 8], [80, 5], [300, 90]] {
            let mut app = App::new(&sight);
            for keys in ["", "l", "?", "/x", "ns"] {
                press(&mut app, &sight, keys);
                screen(&mut app, &sight, size);
            }
        }
    }
}

#[test]
fn keys_move_filter_and_ask() {
    let sight = sight(&Story::sixty(), false);
    let mut app = App::new(&sight);
    assert_eq!(app.selected, TrialNo(60));
    press(&mut app, &sight, "jj");
    assert_eq!((app.selected, app.newest), (TrialNo(58), false));
    press(&mut app, &sight, "kkk");
    assert_eq!((app.selected, app.newest), (TrialNo(60), true));
    press(&mut app, &sight, "G");
    assert_eq!(app.selected, TrialNo(0));

    // What is typed narrows the list at once; letters that are keys elsewhere are letters here.
    assert_eq!(press(&mut app, &sight, "/keep merge"), []);
    app.look(&sight);
    assert_eq!((&app.rows[..], app.selected), (&[TrialNo(44)][..], TrialNo(44)));
    assert_eq!(press(&mut app, &sight, "\u{1b}"), []);
    app.look(&sight);
    assert_eq!(app.rows.len(), 61);

    assert_eq!(press(&mut app, &sight, "p"), [Want::Ask(Request::Pause)]);
    assert_eq!(press(&mut app, &sight, "r"), [Want::Ask(Request::Resume)]);
    assert_eq!(press(&mut app, &sight, "sn"), []);
    assert_eq!(press(&mut app, &sight, "sy"), [Want::Ask(Request::Stop)]);
    let note = Request::Note { text: "qps".to_owned() };
    assert_eq!(press(&mut app, &sight, "nqps \n"), [Want::Ask(note)]);
    assert_eq!(press(&mut app, &sight, "n \n"), []);
    assert_eq!(press(&mut app, &sight, "q"), [Want::Quit]);
}

#[test]
fn an_arm_is_looked_at_alone_and_trials_are_steered() {
    let mut story = Story::sixty();
    let text = "by hand".to_owned();
    let new = story.study.next_trial();
    let ask =
        empiric_core::Ask { operator: Operator::Improve, parents: vec![TrialNo(0)], surface: None };
    story.push(empiric_core::Event::Asked { trial: new, arm: "submitted".to_owned(), ask });
    story.push(empiric_core::Event::Noted { by: "ann".to_owned(), text });
    let whole = sight(&story, true);
    let mut app = App::new(&whole);
    insta::assert_snapshot!("arms", screen(&mut app, &whole, [80, 24]));
    press(&mut app, &whole, "aa");
    let own = whole.of_arm(app.arm.as_deref().unwrap());
    app.look(&own);
    assert_eq!((app.arm.as_deref(), &app.rows[..]), (Some("submitted"), &[new, TrialNo(0)][..]));
    insta::assert_snapshot!("arm", screen(&mut app, &own, [80, 24]));
    press(&mut app, &whole, "a");
    app.look(&whole);
    assert_eq!((app.arm.as_deref(), app.rows.len()), (None, 62));

    // What cannot be done is said; what can is asked first.
    assert_eq!(press(&mut app, &whole, "P"), []);
    assert_eq!(app.message, format!("{new} has not ended yet"));
    assert_eq!(press(&mut app, &whole, "cmPn"), []);
    let pin = Request::Pin { trial: story.study.champion() };
    assert_eq!(press(&mut app, &whole, "Py"), [Want::Ask(pin)]);
}

#[test]
fn lines_are_wrapped_at_spaces_and_cut_where_there_is_none() {
    assert_eq!(
        wrapped("hypothesis one two three four", 16, 11),
        ["hypothesis one", "two three four"]
    );
    assert_eq!(wrapped("ab cd ef gh ij kl mn op qr", 24, 2), ["ab cd ef gh ij kl mn op", "  qr"]);
    assert_eq!(wrapped("abcdefghijkl", 5, 0), ["abcde", "fghij", "kl"]);
    assert_eq!(wrapped("", 5, 2), [""]);
}

#[test]
fn the_feed_says_when_and_what() {
    let sight = sight(&Story::sixty(), false);
    let told = sight.feed.iter().find(|told| told.text.starts_with("t44 asked")).unwrap();
    assert_eq!(told.text, "t44 asked: merge of t42 and t2");
    assert!(told.at < Timestamp::from_second(1_800_000_000).unwrap());
}
