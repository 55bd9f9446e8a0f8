//! What a running study shows: a line for each trial that ends, and on a terminal a bar below them.

use std::time::Duration;

use empiric_core::{Event, IdeaChange, Outcome, Record, Study, Verdict, study::State};
use empiric_engine::Notice;
use empiric_export::{Hook, News, Notifier};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value};

use crate::{out, words};

/// Longest wait for news to be told when a session ends.
const LAST_NEWS: Duration = Duration::from_secs(15);

/// How a session is followed: what is shown of it, and who is told.
pub(crate) struct Live {
    view: View,
    news: Option<Notifier>,
}

/// How events are shown.
enum View {
    /// One JSON object per line on standard output.
    Json,
    /// Not at all.
    Quiet,
    /// Lines and a bar on standard error.
    Human(Box<ProgressBar>),
}

impl Live {
    /// For people, or for programs.
    pub(crate) fn new(json: bool) -> Self {
        if json {
            return Self { view: View::Json, news: None };
        }
        let bar = ProgressBar::no_length();
        if !out::talks_to_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { view: View::Human(Box::new(bar)), news: None }
    }

    /// Also tells `hooks`.
    pub(crate) fn telling(mut self, hooks: Vec<Hook>) -> std::io::Result<Self> {
        if !hooks.is_empty() {
            self.news = Some(Notifier::start(hooks)?);
        }
        Ok(self)
    }

    /// Shows nothing.
    pub(crate) fn quiet() -> Self {
        Self { view: View::Quiet, news: None }
    }

    /// Shows what happened.
    pub(crate) fn show(&self, notice: &Notice) -> std::io::Result<()> {
        if let Some(notifier) = &self.news
            && let Some(news) = News::of(&notice.record, &notice.study)
        {
            notifier.tell(news);
        }
        match &self.view {
            View::Json => out::json(&flat(&notice.record)),
            View::Quiet => Ok(()),
            View::Human(bar) => {
                if let Some(line) = line(&notice.record, &notice.study) {
                    bar.suspend(|| out::talk(&line));
                }
                bar.set_message(progress(&notice.study));
                Ok(())
            }
        }
    }

    /// Tells that the study cannot go on.
    pub(crate) fn broken(&self, study: &Study, why: &str) {
        if let Some(notifier) = &self.news {
            notifier.tell(News::broken(study, why));
        }
    }

    /// Takes the bar away, and waits a moment for what is still being told.
    pub(crate) fn end(self) {
        if let View::Human(bar) = &self.view {
            bar.finish_and_clear();
        }
        let untold = self.news.map(|notifier| notifier.end(LAST_NEWS)).unwrap_or_default();
        if let Some(why) = untold.last {
            out::talk(&format!(
                "note: {} notifications were not delivered, the last because of {why}",
                untold.count
            ));
        }
    }
}

/// The record as one flat object: the event's fields, `seq` and `at`.
pub(crate) fn flat(record: &Record) -> Value {
    let mut object = match serde_json::to_value(&record.event) {
        Ok(Value::Object(object)) => object,
        Ok(_) | Err(_) => Map::new(),
    };
    object.insert("seq".to_owned(), record.seq.into());
    object.insert("at".to_owned(), record.at.to_string().into());
    Value::Object(object)
}

/// The line of an event that people are told of.
pub(crate) fn line(record: &Record, study: &Study) -> Option<String> {
    match &record.event {
        Event::StudyOpened { task, settings, .. } => Some(format!(
            "study of {}: {} {}, seed {}, {}",
            task.name,
            task.metric.goal,
            task.metric.name,
            settings.seed,
            words::arms(settings)
        )),
        Event::SessionStarted { sandbox, cgroup, slots, .. } => {
            let paused = match study.state() {
                State::Paused => "; the study is paused: `empiric resume` goes on",
                State::Running | State::Stopped | State::Finished => "",
            };
            Some(format!("sandbox {sandbox}, limits by {cgroup}, {} slots{paused}", slots.len()))
        }
        Event::Concluded { trial, .. } => study.trial(*trial).map(|trial| {
            let line = words::trial_line(study, trial, out::talk_columns());
            match trial.outcome {
                Some(Outcome::Valid { verdict: Verdict::Baseline, .. }) => {
                    format!("{line}\n{}", words::alarm(study))
                }
                Some(Outcome::Valid { .. } | Outcome::Failed(_)) | None => line,
            }
        }),
        Event::Quarantined { trial, quarantine } => {
            let why: Vec<String> = quarantine.concerns.iter().map(ToString::to_string).collect();
            let text =
                format!("{trial} is measured once more before it may be kept: {}", why.join("; "));
            Some(words::clip(&text, out::talk_columns()))
        }
        Event::ReportOpened { champions } => {
            let champions: Vec<String> = champions.iter().map(ToString::to_string).collect();
            let what = match study.report_openings() {
                0 | 1 => "on seeds and data held back until now".to_owned(),
                times => format!(
                    "on the report split, which is opened for the {} time",
                    words::nth(times)
                ),
            };
            Some(format!("closing comparison of {} and the baseline {what}", champions.join(", ")))
        }
        Event::AblationOpened { champion, margin, hunks } => Some(format!(
            "{champion} is taken apart: {} of it, each of which must be worth more than {} to stay",
            words::counted(hunks.len(), "hunk"),
            words::number(*margin),
        )),
        Event::Noted { by, text } => {
            Some(words::clip(&format!("note by {by}: {text}"), out::talk_columns()))
        }
        Event::Paused { by } => Some(format!("paused by {by}; `empiric resume` goes on")),
        Event::Resumed { by } => Some(format!("resumed by {by}")),
        Event::Fenced { trial, reason, .. } => {
            Some(format!("{trial}: a replicate is void and runs again: {reason}"))
        }
        Event::SegmentOpened { segment, reason, .. } if *segment > 0 => Some(format!(
            "{reason}: scores from here on are not compared with earlier ones; baseline and champion are measured again"
        )),
        Event::Staffed { arm, team } => Some(format!(
            "arm {arm}: {} roles, {}",
            team.roles.len(),
            if team.models.is_empty() { "no model".to_owned() } else { team.models.join(", ") }
        )),
        Event::IdeaAdded { idea, by, sketch, .. } => {
            let text = format!("idea {idea} by {by}: {}", sketch.text.replace('\n', " "));
            Some(words::clip(&text, out::talk_columns()))
        }
        Event::IdeaChanged { idea, by, change } => {
            let what = match change {
                IdeaChange::Dropped { reason } => format!("dropped: {reason}"),
                IdeaChange::Refused { reason } => format!("refused: {reason}"),
                IdeaChange::Restored => "restored".to_owned(),
                IdeaChange::Ranked { priority } => format!("priority {priority}"),
            };
            Some(words::clip(&format!("idea {idea} {what} ({by})"), out::talk_columns()))
        }
        Event::Learned { by, insight, .. } => {
            let text = format!("{by} learnt: {}", insight.text.replace('\n', " "));
            Some(words::clip(&text, out::talk_columns()))
        }
        Event::Called { trial, call } => call.fault.map(|fault| {
            format!("{trial}: {} gave nothing: {}", call.model, fault.name().replace('_', " "))
        }),
        Event::Proposed { trial, .. } => study
            .course()
            .revisits(*trial)
            .map(|of| format!("{trial} brings back what {of} tried and dropped")),
        Event::BudgetSet { by, .. } if !by.is_empty() => Some(format!("budget set by {by}")),
        Event::Pinned { trial, by } => {
            Some(format!("{by} pins {trial}: new trials start from it until one is kept"))
        }
        Event::Unpinned { trial, by } => Some(format!("{by} unpins {trial}")),
        Event::Requeued { trial, by } => {
            Some(format!("{by} has {trial} measured once more, as {}", study.next_trial()))
        }
        Event::BudgetSet { .. }
        | Event::SegmentOpened { .. }
        | Event::Asked { .. }
        | Event::Rehearsed { .. }
        | Event::Fetched { .. }
        | Event::Leased { .. }
        | Event::Measured { .. }
        | Event::Stopped { .. }
        | Event::Finished { .. } => None,
    }
}

fn progress(study: &Study) -> String {
    let spent = study.spent_trials();
    let arms = u32::try_from(study.settings().arms.len().max(1)).unwrap_or(u32::MAX);
    let all = study.budget().trials.map(|cap| cap.saturating_mul(arms));
    let trials = all.map_or(format!("{spent}"), |cap| format!("{spent}/{cap}"));
    let champion = match study.champion() {
        empiric_core::TrialNo::BASELINE => "no keep yet".to_owned(),
        champion => format!("champion {champion}"),
    };
    let filled = all.filter(|cap| *cap > 0).map(|cap| {
        let filled = (24 * u64::from(spent.min(cap)) / u64::from(cap)) as usize;
        format!("[{}{}] ", "=".repeat(filled), " ".repeat(24 - filled))
    });
    format!(
        "{}{trials} trials, {} running, {champion}, wall {}, CPU {}",
        filled.unwrap_or_default(),
        study.leases().len(),
        words::seconds(study.cost().wall_s),
        words::seconds(study.cost().cpu_s)
    )
}
