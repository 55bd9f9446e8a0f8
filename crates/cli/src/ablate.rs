//! `empiric ablate`: the champion taken apart, so that only what earns its place is taken home.

use empiric_core::{Study, TrialNo};
use empiric_decide::ablate::{least_margin, usual_margin};
use empiric_engine::{Ended, Layout};
use empiric_ledger::Reader;
use empiric_report::AblationStatus;

use crate::{
    args::Ablate,
    ask,
    exit::{Failure, Kind},
    live::Live,
    look, out,
    run::{self, Place, shown},
    setup, words,
};

pub(crate) fn ablate(args: &Ablate) -> Result<(), Failure> {
    let layout = look::layout(&args.study)?;
    let study = Reader::open(layout.root())?.study()?;
    if ask::at_work(&layout) {
        return Err(Failure::say(Kind::Study, "another process is at work on this study")
            .hint("let it end, or `empiric stop` it; what it kept is taken apart then"));
    }
    let champion = study.champion();
    if champion == TrialNo::BASELINE {
        return Err(Failure::say(
            Kind::Input,
            "nothing has been shown to beat the baseline, so there is nothing to take apart",
        ));
    }
    let margin = margin(args, &study)?;
    let (ready, asked) = setup::ready_again(&layout)?;
    let place = Place::of(&asked)?;
    let mut options =
        run::options(ready, layout.clone(), study.settings().clone(), place, None, false)?;
    options.ablate = Some(margin);
    let ended = run::session(options, Live::new(args.json), false)?;
    conclude(&layout, &ended, args.json)
}

/// The margin that is asked for, that of the ablation under way, or a tenth of the gain.
fn margin(args: &Ablate, study: &Study) -> Result<f64, Failure> {
    let champion = study.champion();
    let under_way = study
        .ablation()
        .filter(|ablation| ablation.champion == champion || ablation.joint.contains(&champion));
    if let Some(ablation) = under_way {
        if args.margin.is_some() {
            out::talk(&format!(
                "note: {} is being taken apart with a margin of {}, and goes on with that",
                ablation.champion,
                words::number(ablation.margin)
            ));
        }
        return Ok(ablation.margin);
    }
    let gain = empiric_decide::summary(study).champion.map(|champion| champion.gain);
    let margin = match args.margin.as_deref().map(str::trim) {
        None => usual_margin(study),
        Some(text) => match text.strip_suffix('%') {
            Some(share) => share.trim().parse::<f64>().ok().zip(gain).map(|(s, g)| s / 100.0 * g),
            None => text.parse().ok(),
        },
    };
    let margin = margin.filter(|margin| *margin > 0.0 && margin.is_finite()).ok_or_else(|| {
        Failure::say(Kind::Usage, "the margin is no positive number").hint(
            "--margin 0.002 is in the metric's unit, --margin 10% a share of the champion's gain",
        )
    })?;
    let least = least_margin(study);
    if margin < least && !empiric_decide::noise::noise(study).deterministic {
        out::talk(&format!(
            "note: at this noise a hunk that does nothing is likely shown to do nothing from a margin of {} on; with {} \
             some may stay for want of evidence",
            words::number(least),
            words::number(margin),
        ));
    }
    Ok(margin)
}

fn conclude(layout: &Layout, ended: &Ended, json: bool) -> Result<(), Failure> {
    let study = Reader::open(layout.root())?.study()?;
    if let Some(found) = AblationStatus::of(&study) {
        if json {
            let mut summary = serde_json::to_value(&found)?;
            if let Some(object) = summary.as_object_mut() {
                object.insert("event".to_owned(), "ablation_summary".into());
            }
            out::json(&summary)?;
        } else {
            out::raw(&words::ablation(&found, &study))?;
            if found.simplified.is_some() {
                out::talk(&format!(
                    "take it home: empiric export --simplified --patch - {}",
                    shown(layout)
                ));
            }
        }
    }
    run::exit(ended)
}
