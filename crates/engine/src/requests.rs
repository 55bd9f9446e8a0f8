//! What other processes ask of the session through the inbox, and trials made outside.

use std::sync::Arc;

use empiric_core::{
    Ask, Event, IdeaChange, IdeaNo, Operator, Outcome, Sketch, TrialNo, quote, study::SUBMITTED,
};
use empiric_doors::{self as doors, Door};
use empiric_ledger::{Posted, Reply, Request, RequestId, Submission};

use crate::{
    Error,
    dispatcher::{Control, Engine, blocking, duplicate},
};

/// Most characters of who asks.
const BY: usize = 60;
/// Longest note, bytes.
const NOTE: usize = 8 << 10;
/// Longest hypothesis of a submission, bytes.
const HYPOTHESIS: usize = 4 << 10;

impl Engine {
    /// Answers what other processes asked for.
    pub(crate) async fn read_inbox(&mut self) -> Result<(), Error> {
        if !self.inbox.has_requests()? {
            return Ok(());
        }
        let mail = self.inbox.waiting()?;
        for posted in mail.posted {
            self.answer(posted).await?;
        }
        let refusals = mail.unreadable.into_iter();
        let refusals = refusals
            .map(|(request, why)| Reply { request, trial: None, refusal: Some(why) })
            .collect();
        let records = self.ledger.append_answering(Vec::new(), refusals).await?;
        self.apply(records)
    }

    async fn answer(&mut self, posted: Posted) -> Result<(), Error> {
        doors::before(Door::Request);
        let Posted { id, by, request, .. } = posted;
        // Whoever asks chooses these words; no more of them is taken than can be shown to anybody.
        let by = quote::line(&by, BY);
        let mut trial = None;
        let events = match request {
            Request::Pause => vec![Event::Paused { by }],
            Request::Resume => vec![Event::Resumed { by }],
            Request::Stop => {
                self.stop(Control::Stop, format!("stopped by {by}"));
                Vec::new()
            }
            Request::Note { text } => {
                vec![Event::Noted { by, text: quote::bounded(&text, NOTE, quote::Keep::Head) }]
            }
            Request::IdeaAdd { sketch } => {
                let idea = self.study.library().next_idea();
                self.idea_added(idea, None, by, sketch)
            }
            Request::IdeaChange { idea, change } => {
                if self.study.library().idea(idea).is_none() {
                    return self.refuse(id, format!("there is no idea {idea}")).await;
                }
                vec![Event::IdeaChanged { idea, by, change }]
            }
            Request::Budget { budget } => {
                self.served.pausing = None;
                if let Some(recorder) = &self.options.recorder {
                    recorder.budget(&budget);
                }
                vec![Event::BudgetSet { budget, by }]
            }
            Request::Pin { trial: no } => match self.study.refuses_pin(no) {
                Some(why) => return self.refuse(id, why).await,
                None => vec![Event::Pinned { trial: no, by }],
            },
            Request::Unpin { trial: no } => {
                if !self.study.pins().iter().any(|(_, pinned)| *pinned == no) {
                    return self.refuse(id, format!("{no} is not pinned")).await;
                }
                vec![Event::Unpinned { trial: no, by }]
            }
            Request::Requeue { trial: no } => {
                if let Some(why) = self.study.refuses_requeue(no) {
                    return self.refuse(id, why).await;
                }
                trial = Some(self.study.next_trial());
                self.requeued(no, by).await?
            }
            Request::Submit { submission } => {
                let no = self.study.next_trial();
                trial = Some(no);
                self.submitted(no, by, submission).await?
            }
        };
        let reply = Reply { request: id, trial, refusal: None };
        let records = self.ledger.append_answering(events, vec![reply]).await?;
        doors::after(Door::Request);
        self.apply(records)
    }

    async fn refuse(&mut self, request: RequestId, why: String) -> Result<(), Error> {
        let reply = Reply { request, trial: None, refusal: Some(why) };
        let records = self.ledger.append_answering(Vec::new(), vec![reply]).await?;
        self.apply(records)
    }

    /// The events by which an undecided trial is measured once more: asked and proposed together as it was, so that none is
    /// half taken.
    async fn requeued(&self, no: TrialNo, by: String) -> Result<Vec<Event>, Error> {
        let new = self.study.next_trial();
        let Some((old, edit)) =
            self.study.trial(no).and_then(|old| Some((Arc::clone(old), old.edit.clone()?)))
        else {
            return Ok(Vec::new());
        };
        let (workshop, study, at) =
            (Arc::clone(&self.workshop), self.study.clone(), (self.options.clock)());
        let made = blocking(move || workshop.again(new, edit, &study, at)).await?;
        let asked = Event::Asked { trial: new, arm: old.arm.clone(), ask: old.ask.clone() };
        let outcome = match made {
            Ok(edit) => Event::Proposed { trial: new, edit },
            Err(failure) => Event::Concluded { trial: new, outcome: Outcome::Failed(failure) },
        };
        Ok(vec![Event::Requeued { trial: no, by }, asked, outcome])
    }

    /// The events by which an idea enters the library: one that a red line forbids is refused at once, and says so.
    pub(crate) fn idea_added(
        &self,
        idea: IdeaNo,
        arm: Option<String>,
        by: String,
        mut sketch: Sketch,
    ) -> Vec<Event> {
        sketch.text = empiric_core::idea::worded(&sketch.text);
        let forbidden = empiric_supervise::idea(self.study.task(), &sketch.text);
        let mut events = vec![Event::IdeaAdded { idea, arm, by, sketch }];
        if let Some(concern) = forbidden {
            let change = IdeaChange::Refused { reason: concern.to_string() };
            events.push(Event::IdeaChanged { idea, by: "supervisor".to_owned(), change });
        }
        events
    }

    /// The events by which a submission becomes trial `no`: asked and proposed together, so that none is half taken.
    async fn submitted(
        &self,
        no: TrialNo,
        by: String,
        mut submission: Submission,
    ) -> Result<Vec<Event>, Error> {
        submission.hypothesis =
            quote::bounded(&submission.hypothesis, HYPOTHESIS, quote::Keep::Head);
        let parents = match &submission.parents[..] {
            [] => vec![self.study.of_arm(SUBMITTED).champion()],
            parents => parents.to_vec(),
        };
        let ask = Ask { operator: Operator::Improve, parents, surface: None };
        let asked = Event::Asked { trial: no, arm: SUBMITTED.to_owned(), ask: ask.clone() };
        let (workshop, study, at) =
            (Arc::clone(&self.workshop), self.study.clone(), (self.options.clock)());
        let made = blocking(move || workshop.submit(no, &ask, by, submission, &study, at)).await?;
        let same = made.as_ref().ok().and_then(|edit| self.decided(SUBMITTED, edit));
        let failed = |failure| Event::Concluded { trial: no, outcome: Outcome::Failed(failure) };
        Ok(match (made, same) {
            (Err(failure), _) => vec![asked, failed(failure)],
            (Ok(edit), None) => vec![asked, Event::Proposed { trial: no, edit }],
            (Ok(edit), Some(of)) => {
                vec![asked, Event::Proposed { trial: no, edit }, failed(duplicate(of))]
            }
        })
    }
}
