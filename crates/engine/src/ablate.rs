//! An ablation: the champion taken apart, hunk by hunk. What is tried next is [`empiric_decide::ablate`]'s to say; here
//! it becomes trials.

use std::sync::Arc;

use empiric_core::{Ask, Event, Outcome, TrialNo, ablation::ABLATE};
use empiric_decide::ablate::{Ablating, ablating};

use crate::{
    Error,
    budget::Room,
    dispatcher::{Engine, blocking},
};

impl Engine {
    /// Takes the ablation as far as it goes without waiting. There is room for no other trials beside it.
    pub(crate) async fn ablate(&mut self, margin: f64) -> Result<Room, Error> {
        loop {
            match ablating(&self.study) {
                Ablating::Open => {
                    if let Some(why) = self.open_ablation(margin).await? {
                        return Ok(Room::Spent(why));
                    }
                }
                Ablating::Try(asks) => {
                    for ask in asks.into_iter().take(1) {
                        self.take_away(ask).await?;
                    }
                }
                Ablating::Wait => return Ok(Room::Reserved),
                Ablating::Done => {
                    return Ok(Room::Spent("the champion was taken apart".to_owned()));
                }
            }
        }
    }

    /// Records what the champion changes of the baseline; says so where that is nothing.
    async fn open_ablation(&mut self, margin: f64) -> Result<Option<String>, Error> {
        let champion = self.study.champion();
        let tree = |no: TrialNo| Some(self.study.trial(no)?.edit.as_ref()?.tree);
        let trees = tree(TrialNo::BASELINE).zip(tree(champion));
        let Some((old, new)) = trees.filter(|_| champion != TrialNo::BASELINE) else {
            return Ok(Some("nothing was kept, so there is nothing to take apart".to_owned()));
        };
        let store = Arc::clone(&self.workshop.store);
        let hunks = blocking(move || store.hunks(old, new)).await??;
        if hunks.is_empty() {
            return Ok(Some(format!("{champion} changes nothing of the baseline")));
        }
        self.commit(vec![Event::AblationOpened { champion, margin, hunks }]).await?;
        Ok(None)
    }

    /// Asks for a trial without some hunks and makes it, both at once, so that none is half taken.
    async fn take_away(&mut self, ask: Ask) -> Result<(), Error> {
        let trial = self.study.next_trial();
        let asked = Event::Asked { trial, arm: ABLATE.to_owned(), ask: ask.clone() };
        let Some(mut ablation) = self.study.ablation().cloned() else { return Ok(()) };
        ablation.asked(trial, &ask);
        let (workshop, study, at) =
            (Arc::clone(&self.workshop), self.study.clone(), (self.options.clock)());
        let made = blocking(move || workshop.take_away(trial, &ask, &ablation, &study, at)).await?;
        self.commit(match made {
            Ok(edit) => vec![asked, Event::Proposed { trial, edit }],
            Err(failure) => {
                vec![asked, Event::Concluded { trial, outcome: Outcome::Failed(failure) }]
            }
        })
        .await
    }
}
