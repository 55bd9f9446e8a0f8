//! The verbs that steer a search: budget, pin, unpin, requeue. What cannot be done is said at once and posted nowhere.

use empiric_core::{Budget, Study, TrialNo};
use empiric_engine::named;
use empiric_ledger::Request;

use crate::{
    args::{Caps, One},
    ask::ask,
    exit::{Failure, Kind},
    look, run,
};

pub(crate) fn budget(args: &Caps) -> Result<(), Failure> {
    let now = *look::desk(&args.study)?.study()?.budget();
    let budget = Budget { trials: args.trials.or(now.trials), ..now };
    let budget = run::caps(args.budget.as_deref(), budget)?;
    if budget == now {
        return Err(Failure::say(Kind::Usage, "these caps are in force already")
            .hint("`empiric status` says what was spent of them"));
    }
    ask(&args.study, Request::Budget { budget }, args.json)
}

pub(crate) fn pin(args: &One) -> Result<(), Failure> {
    posted(args, Study::refuses_pin, |trial| Request::Pin { trial })
}

pub(crate) fn unpin(args: &One) -> Result<(), Failure> {
    let refusal = |study: &Study, no: TrialNo| {
        let pinned = study.pins().iter().any(|(_, pinned)| *pinned == no);
        (!pinned).then(|| format!("{no} is not pinned"))
    };
    posted(args, refusal, |trial| Request::Unpin { trial })
}

pub(crate) fn requeue(args: &One) -> Result<(), Failure> {
    posted(args, Study::refuses_requeue, |trial| Request::Requeue { trial })
}

fn posted(
    args: &One,
    refusal: impl Fn(&Study, TrialNo) -> Option<String>,
    request: impl Fn(TrialNo) -> Request,
) -> Result<(), Failure> {
    let study = look::desk(&args.study)?.study()?;
    let no = named(&study, &args.trial)?.no;
    match refusal(&study, no) {
        Some(why) => Err(Failure::say(Kind::Study, why)),
        None => ask(&args.study, request(no), args.json),
    }
}
