//! The tools that read what was tried before, and write down what it taught.

use empiric_core::{Insight, Outcome, TrialNo, lore::surface};

use super::{
    Answer, LINES, Said, Tools, failed, missing, numbered,
    words::{AddInsight, One, ReadTrial, Trials, Two},
};
use crate::{
    Files,
    digest::{number, one_line, signed},
    specialist::quoted,
};

/// Trials that a query lists.
const LISTED: usize = 30;
/// Trials that a query looks at.
const LOOKED_AT: usize = 2000;

impl Tools<'_> {
    pub(super) fn trials(&self, args: &Trials) -> String {
        let study = &self.brief.study;
        let metric = &study.task().metric.name;
        let mut text = String::new();
        let (mut listed, mut seen) = (0, 0);
        let newest = study.next_trial().0;
        for no in (0..newest).rev().map(TrialNo) {
            let Some(trial) = study.trial(no).filter(|trial| trial.no != self.brief.trial) else {
                continue;
            };
            seen += 1;
            if listed == LISTED || seen > LOOKED_AT {
                text.push_str("(and more; narrow the query)\n");
                break;
            }
            let became = outcome(trial);
            let words =
                trial.edit.as_ref().map(|edit| edit.hypothesis.text.as_str()).unwrap_or_default();
            let fits = args.surface.as_deref().is_none_or(|wanted| surface(trial) == wanted)
                && args.outcome.as_deref().is_none_or(|wanted| became.0 == wanted)
                && args
                    .word
                    .as_deref()
                    .is_none_or(|word| words.to_lowercase().contains(&word.to_lowercase()));
            if fits {
                let score = trial.search_score(metric).map(number).unwrap_or_default();
                let line = format!(
                    "{no} {} {} {score} on {}: «{}»\n",
                    became.0,
                    became.1,
                    one_line(surface(trial), 40),
                    one_line(words, 160)
                );
                text.push_str(&line);
                listed += 1;
            }
        }
        if text.is_empty() { "none".to_owned() } else { text }
    }

    fn known(&self, word: &str) -> Result<TrialNo, Answer> {
        let no: TrialNo = word
            .trim()
            .parse()
            .map_err(|_| failed(format!("`{}` is no trial; say t17", one_line(word, 40))))?;
        match self.brief.study.trial(no) {
            Some(_) => Ok(no),
            None => Err(failed(format!("there is no trial {no} that you may see"))),
        }
    }

    fn files(&self, no: TrialNo) -> Result<Files, Answer> {
        self.brief.sources.files(no).map_err(|error| failed(one_line(&error.to_string(), 200)))
    }

    pub(super) fn show(&self, args: &One) -> Said {
        use std::fmt::Write as _;
        let no = self.known(&args.trial)?;
        let study = &self.brief.study;
        let Some(trial) = study.trial(no) else {
            return Err(failed(format!("there is no trial {no}")));
        };
        let mut text = format!("{no} {} on {}\n", trial.ask.operator, one_line(surface(trial), 60));
        let parents: Vec<String> = trial.parents().iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "from {}", parents.join(" and "));
        if let Some(edit) = &trial.edit {
            let _ = writeln!(text, "hypothesis «{}»", one_line(&edit.hypothesis.text, 600));
            if let Some(said) = &edit.hypothesis.prediction {
                let size = said.size.map(number).unwrap_or_default();
                let _ = writeln!(text, "predicted {:?} {size}", said.direction);
            }
            for file in edit.files.iter().take(20) {
                let _ = writeln!(
                    text,
                    "{} +{} -{}",
                    one_line(&file.path, 120),
                    file.added,
                    file.removed
                );
            }
        }
        if let Some(score) = trial.search_score(&study.task().metric.name) {
            let _ = writeln!(text, "score {} on the search split", number(score));
        }
        match &trial.outcome {
            None => text.push_str("still running\n"),
            Some(Outcome::Valid { verdict, reason, .. }) => {
                let _ = writeln!(text, "{verdict}: {}", one_line(reason, 400));
            }
            Some(Outcome::Failed(failure)) => {
                let _ = writeln!(
                    text,
                    "failed: {failure}\n{}",
                    quoted("the failure", &failure.excerpt, 1200)
                );
            }
        }
        let feedback =
            trial.replicates.iter().rev().filter_map(|replicate| replicate.result.as_ref());
        if let Some(result) = feedback.into_iter().find(|result| !result.feedback.is_empty()) {
            let _ = writeln!(text, "{}", quoted("the evaluator", &result.feedback, 1500));
        }
        Ok(text)
    }

    pub(super) fn diff_trials(&self, args: &Two) -> Said {
        let (from, to) = (self.known(&args.from)?, self.known(&args.to)?);
        let diff = self.brief.errands.diff(&self.files(from)?, &self.files(to)?);
        Ok(if diff.is_empty() { "nothing differs".to_owned() } else { diff })
    }

    pub(super) fn read_trial(&self, args: &ReadTrial) -> Said {
        let files = self.files(self.known(&args.trial)?)?;
        let text = files.get(&args.path).ok_or_else(|| missing(&args.path, &files))?;
        Ok(numbered(text, 1, LINES))
    }

    pub(super) fn rebase(&mut self, args: &One) -> Said {
        let no = self.known(&args.trial)?;
        let files = self.files(no)?;
        self.space.rebase(no, files);
        Ok(format!("the workspace is {no} now"))
    }

    /// Who speaks: the role, and the trial that it speaks from.
    pub(super) fn by(&self) -> String {
        format!("{} {}", self.role.name, self.brief.trial)
    }

    pub(super) fn insight(&self, args: &AddInsight) -> Said {
        let trials = args
            .trials
            .iter()
            .take(12)
            .map(|word| self.known(word))
            .collect::<Result<Vec<_>, _>>()?;
        let open = trials
            .iter()
            .find(|no| self.brief.study.trial(**no).is_none_or(|trial| trial.outcome.is_none()));
        if let Some(no) = open {
            return Err(failed(format!("{no} has not ended, so it shows nothing yet")));
        }
        if trials.is_empty() {
            return Err(failed("name the trials that show it".to_owned()));
        }
        let text = empiric_core::idea::worded(&args.text);
        self.brief.errands.insight(&self.by(), Insight { text, trials }).map_err(Answer::Ended)?;
        Ok("noted".to_owned())
    }
}

fn outcome(trial: &empiric_core::Trial) -> (String, String) {
    match &trial.outcome {
        None => ("running".to_owned(), String::new()),
        Some(Outcome::Valid { verdict, gain, .. }) => {
            (verdict.to_string(), gain.map(signed).unwrap_or_default())
        }
        Some(Outcome::Failed(failure)) => {
            let margin = failure.margin.map(|margin| format!("margin {}", signed(margin)));
            (failure.cause.name().to_owned(), margin.unwrap_or_default())
        }
    }
}
