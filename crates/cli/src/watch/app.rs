//! What the person looks at, and what each key does. Knows no terminal: keys in, wishes out.

use empiric_core::{Study, TrialNo};
use empiric_ledger::Request;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{detail::Detail, follow::Sight};
use crate::words;

/// The keys, with what they do; the help page is made of it.
pub(super) const KEYS: [(&str, &str); 17] = [
    ("j k ↓ ↑", "next, previous trial; in a page: scroll"),
    ("g G", "newest trial (and stay with it), oldest trial"),
    ("PgDn PgUp", "a page on, a page back"),
    ("enter", "all about the trial: hypothesis, diff, replicates, logs"),
    ("c", "go to the champion"),
    ("a", "one arm after the other: its trials, curve and champion; then all of them"),
    ("l", "lineage"),
    ("/", "show only trials with these words: number, outcome, operator, hypothesis"),
    ("n", "write a note into the ledger"),
    ("p", "pause: no new trials"),
    ("r", "resume"),
    ("s", "stop: finish what runs, then end (asks first)"),
    ("P", "pin the selected trial: new ones start from it; or unpin it (asks first)"),
    ("m", "measure it once more, if it ended undecided (asks first)"),
    ("?", "this page"),
    ("esc", "back; without a page: drop the filter"),
    ("q", "leave; the study goes on"),
];

/// What a key asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Want {
    Nothing,
    Quit,
    Ask(Request),
    /// The page of a trial.
    Open(TrialNo),
}

/// The page that is shown.
#[derive(Debug)]
pub(super) enum Page {
    /// Curve, trials, slots, feed.
    Study,
    Trial(Box<Detail>),
    Lineage,
    Help,
}

/// What is being typed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Asking {
    Filter(String),
    Note(String),
    /// Whether this is really wanted, in words.
    Sure(Request, String),
}

#[derive(Debug)]
pub(super) struct App {
    pub(super) page: Page,
    pub(super) asking: Option<Asking>,
    pub(super) filter: String,
    /// The arm that alone is shown.
    pub(super) arm: Option<String>,
    /// Trials that pass the filter, newest first.
    pub(super) rows: Vec<TrialNo>,
    pub(super) selected: TrialNo,
    /// Whether the newest trial stays selected.
    pub(super) newest: bool,
    /// First line shown of a page.
    pub(super) scroll: usize,
    /// Lines of a page and how many fit, as last drawn.
    pub(super) extent: [usize; 2],
    pub(super) message: String,
    /// What `rows` was made of.
    seen: (u64, String, Option<String>),
}

impl App {
    pub(super) fn new(sight: &Sight) -> Self {
        let mut app = Self {
            page: Page::Study,
            asking: None,
            filter: String::new(),
            arm: None,
            rows: Vec::new(),
            selected: TrialNo::BASELINE,
            newest: true,
            scroll: 0,
            extent: [0, 10],
            message: String::new(),
            seen: (u64::MAX, String::new(), None),
        };
        app.look(sight);
        app
    }

    /// Takes in what there is to see now.
    pub(super) fn look(&mut self, sight: &Sight) {
        let seen = (sight.study.seq(), self.filter.clone(), self.arm.clone());
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        let filter = self.filter.to_lowercase();
        let wanted: Vec<&str> = filter.split_whitespace().collect();
        let study = &sight.study;
        self.rows = study
            .trials()
            .iter()
            .rev()
            .filter(|trial| wanted.is_empty() || passes(trial, &wanted))
            .map(|trial| trial.no)
            .collect();
        if self.newest || !self.rows.contains(&self.selected) {
            self.selected = self.rows.first().copied().unwrap_or(TrialNo::BASELINE);
        }
    }

    /// Says something in the last line.
    pub(super) fn say(&mut self, text: String) {
        self.message = text;
    }

    /// Shows a trial's page.
    pub(super) fn open(&mut self, detail: Detail) {
        self.page = Page::Trial(Box::new(detail));
        self.scroll = 0;
    }

    /// Where the selected trial is among the rows.
    pub(super) fn place(&self) -> usize {
        self.rows.iter().position(|no| *no == self.selected).unwrap_or(0)
    }

    /// What a key does.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other keys do nothing")]
    pub(super) fn key(&mut self, key: KeyEvent, study: &Study) -> Want {
        self.message.clear();
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Want::Quit } else { Want::Nothing };
        }
        if let Some(asking) = self.asking.take() {
            return self.typed(asking, key.code);
        }
        let lines = self.extent[1].saturating_sub(1).max(1);
        match key.code {
            KeyCode::Char('q') => return Want::Quit,
            KeyCode::Char('j') | KeyCode::Down => self.step(1),
            KeyCode::Char('k') | KeyCode::Up => self.step(-1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.step(lines.cast_signed()),
            KeyCode::PageUp => self.step(-lines.cast_signed()),
            KeyCode::Char('g') | KeyCode::Home => self.edge(true),
            KeyCode::Char('G') | KeyCode::End => self.edge(false),
            KeyCode::Char('c') => {
                self.newest = false;
                self.selected = study.champion();
                if !self.rows.contains(&self.selected) {
                    self.filter.clear();
                }
                if matches!(self.page, Page::Trial(_)) {
                    return Want::Open(self.selected);
                }
            }
            KeyCode::Enter if matches!(self.page, Page::Study) && !self.rows.is_empty() => {
                return Want::Open(self.selected);
            }
            KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace => match self.page {
                Page::Study => self.filter.clear(),
                Page::Trial(_) | Page::Lineage | Page::Help => self.turn(Page::Study),
            },
            KeyCode::Char('a') => self.next_arm(study),
            KeyCode::Char('l') => self.turn(Page::Lineage),
            KeyCode::Char('?') => self.turn(Page::Help),
            KeyCode::Char('/') => {
                self.page = Page::Study;
                self.asking = Some(Asking::Filter(self.filter.clone()));
            }
            KeyCode::Char('n') => self.asking = Some(Asking::Note(String::new())),
            KeyCode::Char('s') => {
                let what = "stop the study after what runs has finished?".to_owned();
                self.asking = Some(Asking::Sure(Request::Stop, what));
            }
            KeyCode::Char('P') => self.pin(study),
            KeyCode::Char('m') => {
                let trial = self.selected;
                match study.refuses_requeue(trial) {
                    Some(why) => self.say(why),
                    None => {
                        let what = format!("measure {trial} once more, as a trial of its own?");
                        self.asking = Some(Asking::Sure(Request::Requeue { trial }, what));
                    }
                }
            }
            KeyCode::Char('p') => return Want::Ask(Request::Pause),
            KeyCode::Char('r') => return Want::Ask(Request::Resume),
            KeyCode::Char(other) => {
                self.say(format!("`{other}` does nothing here; ? lists the keys"))
            }
            _ => {}
        }
        Want::Nothing
    }

    /// Shows the next arm alone, and after the last one all of them.
    fn next_arm(&mut self, study: &Study) {
        let arms = study.arms();
        if arms.len() < 2 {
            return self.say("this study has one arm".to_owned());
        }
        let next = match &self.arm {
            None => 0,
            Some(arm) => arms.iter().position(|name| name == arm).map_or(0, |at| at + 1),
        };
        self.arm = arms.get(next).map(|name| (*name).to_owned());
        self.page = Page::Study;
        self.newest = true;
    }

    /// Asks whether new trials are to start from the selected one, or no longer.
    fn pin(&mut self, study: &Study) {
        let trial = self.selected;
        if study.pins().iter().any(|(_, pinned)| *pinned == trial) {
            let what =
                format!("unpin {trial}: let the policy choose again where new trials start?");
            self.asking = Some(Asking::Sure(Request::Unpin { trial }, what));
        } else if let Some(why) = study.refuses_pin(trial) {
            self.say(why);
        } else {
            let what = format!("pin {trial}: start every new trial of its arm from it?");
            self.asking = Some(Asking::Sure(Request::Pin { trial }, what));
        }
    }

    /// Turns to a page, or back from it.
    fn turn(&mut self, page: Page) {
        let same = std::mem::discriminant(&self.page) == std::mem::discriminant(&page);
        self.page = if same { Page::Study } else { page };
        self.scroll = 0;
    }

    fn step(&mut self, by: isize) {
        match self.page {
            Page::Study => {
                let last = self.rows.len().saturating_sub(1);
                let place = self.place().saturating_add_signed(by).min(last);
                self.newest = place == 0 && by < 0;
                self.selected = self.rows.get(place).copied().unwrap_or(TrialNo::BASELINE);
            }
            Page::Trial(_) | Page::Lineage | Page::Help => {
                let last = self.extent[0].saturating_sub(self.extent[1]);
                self.scroll = self.scroll.saturating_add_signed(by).min(last);
            }
        }
    }

    fn edge(&mut self, first: bool) {
        match self.page {
            Page::Study => {
                self.newest = first;
                let edge = if first { self.rows.first() } else { self.rows.last() };
                self.selected = edge.copied().unwrap_or(TrialNo::BASELINE);
            }
            Page::Trial(_) | Page::Lineage | Page::Help => {
                let last = self.extent[0].saturating_sub(self.extent[1]);
                self.scroll = if first { 0 } else { last };
            }
        }
    }

    /// A key while something is being typed.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other keys do nothing")]
    fn typed(&mut self, asking: Asking, key: KeyCode) -> Want {
        let (mut text, is_note) = match asking {
            Asking::Sure(request, _) => {
                if matches!(key, KeyCode::Char('y' | 'Y')) {
                    return Want::Ask(request);
                }
                self.say("not asked".to_owned());
                return Want::Nothing;
            }
            Asking::Filter(text) => (text, false),
            Asking::Note(text) => (text, true),
        };
        match key {
            KeyCode::Esc => {
                if !is_note {
                    self.filter.clear();
                }
                return Want::Nothing;
            }
            KeyCode::Enter if is_note => {
                let text = text.trim().to_owned();
                return if text.is_empty() {
                    Want::Nothing
                } else {
                    Want::Ask(Request::Note { text })
                };
            }
            KeyCode::Enter => return Want::Nothing,
            KeyCode::Backspace => {
                text.pop();
            }
            KeyCode::Char(c) => text.push(c),
            _ => {}
        }
        if !is_note {
            // What is typed is shown at once.
            self.filter.clone_from(&text);
        }
        self.asking = Some(if is_note { Asking::Note(text) } else { Asking::Filter(text) });
        Want::Nothing
    }
}

/// Whether every word is somewhere in what is said of the trial.
fn passes(trial: &empiric_core::Trial, wanted: &[&str]) -> bool {
    let edit = trial.edit.as_ref();
    let said = format!(
        "{} {} {} {} {}",
        trial.no,
        words::outcome(trial),
        edit.map_or(trial.ask.operator, |edit| edit.operator),
        trial.arm,
        edit.map_or("", |edit| edit.hypothesis.text.as_str()),
    )
    .to_lowercase();
    wanted.iter().all(|word| said.contains(word))
}
