//! Projections are what the events give, and pages are what the study holds.

use std::collections::BTreeMap;

use empiric_core::{Event, Operator, Outcome, Purpose, Split, Trial, Verdict};
use proptest::prelude::*;

use super::{closed, dump, open, raw, script};
use crate::{Error, LeaseState, Query, Reader, rebuild_projections, schema, verify};

fn all(reader: &Reader, query: &Query) -> Vec<Trial> {
    let mut query = query.clone();
    let mut trials = Vec::new();
    loop {
        let page = reader.trials(&query).unwrap();
        assert!(page.items.len() <= query.limit as usize);
        trials.extend(page.items);
        query.after = page.next;
        if query.after.is_none() {
            return trials;
        }
    }
}

fn verdict(trial: &Trial) -> Option<Verdict> {
    match &trial.outcome {
        Some(Outcome::Valid { verdict, .. }) => Some(*verdict),
        Some(Outcome::Failed(_)) | None => None,
    }
}

#[track_caller]
fn in_brief(brief: &crate::Brief, trial: &Trial) {
    assert_eq!(brief.no, trial.no);
    assert_eq!(brief.parents, trial.parents());
    assert_eq!(brief.verdict, verdict(trial).map(|verdict| verdict.to_string()));
    assert_eq!(brief.arm, trial.arm);
    assert_eq!(brief.ended_at.is_some(), trial.outcome.is_some());
    assert_eq!(brief.seq_ended.is_some(), trial.outcome.is_some());
    assert_eq!(brief.asked_at, trial.asked_at);
    let finished: Vec<_> = trial.replicates.iter().filter_map(|r| r.result.as_ref()).collect();
    assert_eq!(brief.replicates as usize, finished.len());
    let cpu: f64 = finished.iter().map(|measured| measured.cost.cpu_s).sum();
    assert!((brief.cpu_s - cpu).abs() < 1e-9);
    let spent: empiric_core::Cost =
        trial.calls.iter().fold(empiric_core::Cost::default(), |sum, call| sum + call.cost());
    assert_eq!((brief.calls, brief.tokens), (spent.calls, spent.tokens));
    assert!((brief.usd - spent.usd).abs() < 1e-9);
}

/// What is read of a trial piece by piece is what the whole of it says.
#[track_caller]
fn in_parts(reader: &Reader, trial: &Trial) {
    let alone = Trial { replicates: Vec::new(), ..trial.clone() };
    assert_eq!(reader.trial_alone(trial.no).unwrap(), Some(alone));
    assert_eq!(reader.replicate_count(trial.no).unwrap(), trial.replicates.len());
    let mut replicates = Vec::new();
    let mut before = u64::MAX;
    loop {
        let page = reader.replicates_before(trial.no, before, 2).unwrap();
        let Some(last) = page.last() else { break };
        before = last.seq;
        replicates.extend(page.into_iter().map(|placed| placed.replicate));
    }
    replicates.reverse();
    assert_eq!(replicates, trial.replicates);
    for replicate in &trial.replicates {
        let found = reader.replicate(replicate.id).unwrap().map(|placed| placed.replicate);
        assert_eq!(found.as_ref(), Some(replicate));
    }
    for split in [Split::Search, Split::Select, Split::Report] {
        let values = reader.values(trial.no, "bpb", split).unwrap().into_iter();
        let values: Vec<_> = values.map(|v| (v.purpose, v.segment, v.seed, v.value)).collect();
        let folded = trial
            .replicates
            .iter()
            .filter_map(|r| Some((r.purpose, r.segment, r.seed, r.value("bpb", split)?)));
        assert!(values.into_iter().eq(folded), "{}", trial.no);
    }
    let mut sums: BTreeMap<(String, String), (f64, usize)> = BTreeMap::new();
    let results = trial.replicates.iter().filter_map(|replicate| replicate.result.as_ref());
    for one in results.flat_map(|result| &result.measurements) {
        let split = one.split.name().to_owned();
        let sum = sums.entry((one.metric.clone(), split)).or_default();
        *sum = (sum.0 + one.value, sum.1 + 1);
    }
    let means = reader.means(trial.no).unwrap();
    assert_eq!(means.len(), sums.len());
    for mean in means {
        let (sum, count) = sums[&(mean.metric, mean.split)];
        assert_eq!(mean.replicates, count);
        assert!((mean.mean - sum / count as f64).abs() < 1e-9);
    }
}

/// Keeps what the script's model calls name.
fn keep_blobs(dir: &std::path::Path, events: &[empiric_core::Event]) {
    let blobs = crate::Blobs::of(dir);
    for event in events {
        if let empiric_core::Event::Called { call, .. } = event {
            let which = u8::try_from(call.usage.input).unwrap();
            assert_eq!(blobs.put(&[which]).unwrap(), call.request);
            assert_eq!(blobs.put(&[which, 1]).unwrap(), call.answer);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_study_is_projected_rebuilt_paged_and_verified(
        steps in prop::collection::vec((any::<u8>(), any::<u8>(), -1e3..1e3), 0..120),
        limit in 1..7_u32,
        group in 1..9_usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let events = script::any(&steps);
        keep_blobs(dir.path(), &events);
        let ledger = open(dir.path());
        for events in events.chunks(group) {
            ledger.append(events.to_vec()).wait().unwrap();
        }
        ledger.close().unwrap();
        let before = dump(dir.path());
        rebuild_projections(dir.path()).unwrap();
        prop_assert_eq!(dump(dir.path()), before);

        let reader = Reader::open(dir.path()).unwrap();
        let study = reader.study().unwrap();
        let expected: Vec<Trial> = study.trials().iter().map(|trial| (**trial).clone()).collect();
        let query = Query { limit, ..Query::default() };
        prop_assert_eq!(&all(&reader, &query), &expected);
        let newest: Vec<Trial> = expected.iter().rev().cloned().collect();
        prop_assert_eq!(all(&reader, &Query { newest_first: true, ..query.clone() }), newest);
        for wanted in [Verdict::Keep, Verdict::Discard, Verdict::Inconclusive] {
            let some: Vec<Trial> = expected.iter().filter(|t| verdict(t) == Some(wanted)).cloned().collect();
            prop_assert_eq!(all(&reader, &Query { verdict: Some(wanted), ..query.clone() }), some);
        }
        let half = reader.head().unwrap().seq / 2;
        for after in [0, half] {
            let mut briefs = Vec::new();
            let head = reader.briefs(after, |brief| briefs.push(brief)).unwrap();
            prop_assert_eq!(head, study.seq());
            let touched = |no| reader.trial_records(no, after, 1).unwrap().len() == 1;
            let touched: Vec<&Trial> = expected.iter().filter(|trial| touched(trial.no)).collect();
            prop_assert_eq!(briefs.len(), touched.len());
            for (brief, trial) in briefs.iter().zip(touched) {
                in_brief(brief, trial);
            }
        }
        let all_records = reader.records(0, u32::MAX).unwrap();
        let own: Vec<_> = all_records.iter().filter(|r| r.event.trial().is_none()).cloned().collect();
        prop_assert_eq!(reader.study_records(0).unwrap(), own);
        let pins = all_records.iter().filter_map(|r| {
            if let Event::Pinned { trial, .. } = r.event {
                Some((r.seq, (trial, true)))
            } else if let Event::Unpinned { trial, .. } = r.event {
                Some((r.seq, (trial, false)))
            } else {
                None
            }
        });
        prop_assert!(reader.pins(0).unwrap().into_iter().eq(pins));
        let newest = reader.records_before(u64::MAX, 5).unwrap();
        prop_assert!(newest.iter().eq(all_records.iter().rev().take(5)));
        let held: usize = expected.iter().map(|trial| trial.replicates.len()).sum();
        let occupied = reader.occupied(u64::MAX, 10_000).unwrap();
        let kept = |o: &&crate::Occupied| o.state != LeaseState::Fenced;
        prop_assert_eq!(occupied.iter().filter(kept).count(), held);
        prop_assert!(occupied.iter().all(|o| o.to.is_some() == (o.state != LeaseState::Leased)));
        for trial in &expected {
            let alone = reader.trial(trial.no).unwrap();
            prop_assert_eq!(alone.as_ref(), Some(trial));
            in_parts(&reader, trial);
            let score: Option<f64> = raw(dir.path())
                .query_row("SELECT score FROM trial WHERE no = ?", [trial.no.0], |row| row.get(0))
                .unwrap();
            match (score, trial.search_score("bpb")) {
                (Some(kept), Some(folded)) => prop_assert!((kept - folded).abs() < 1e-9),
                (kept, folded) => prop_assert_eq!(kept, folded),
            }
        }
        drop(reader);
        prop_assert_eq!(verify(dir.path()).unwrap().faults, vec![]);
    }
}

#[test]
fn filters_join_and_unknown_cursors_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 12);
    let reader = Reader::open(dir.path()).unwrap();
    let numbers = |query: Query| -> Vec<u32> {
        reader.trials(&query).unwrap().items.iter().map(|trial| trial.no.0).collect()
    };
    let failed = Query { cause: Some("exception".to_owned()), ..Query::default() };
    assert_eq!(numbers(failed.clone()), [4, 9]);
    assert_eq!(numbers(Query { proposer: Some("nobody".to_owned()), ..failed.clone() }), [0; 0]);
    assert_eq!(numbers(Query { ended: Some(false), ..Query::default() }), [0; 0]);
    let many = Query {
        operator: Some(Operator::Improve),
        surface: Some("model".to_owned()),
        arm: Some("tuner".to_owned()),
        blame: Some(empiric_core::Blame::Recipe),
        ended: Some(true),
        newest_first: true,
        ..failed
    };
    assert_eq!(numbers(many), [9, 4]);
    let error = reader.trials(&Query { after: Some("x".to_owned()), ..Query::default() });
    assert!(matches!(error, Err(Error::Cursor(_))));
}

#[test]
fn leases_are_kept_whatever_became_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let plain = script::plain(1);
    ledger.append(plain[0].clone()).wait().unwrap();
    ledger.append(plain[1].clone()).wait().unwrap();
    let states = || -> Vec<(LeaseState, Option<f64>)> {
        let leases = Reader::open(dir.path()).unwrap().leases(empiric_core::TrialNo(0)).unwrap();
        assert!(leases.iter().all(|lease| lease.purpose == Purpose::Search));
        leases.into_iter().map(|lease| (lease.state, lease.cpu_s)).collect()
    };
    assert_eq!(states(), [(LeaseState::Leased, None)]);
    let Event::Leased { replicate, trial, .. } = plain[1][2].clone() else { panic!("a lease") };
    let fenced = Event::Fenced { replicate, trial, reason: "gone".to_owned() };
    ledger.append(vec![fenced]).wait().unwrap();
    assert_eq!(states(), [(LeaseState::Fenced, None)]);
    assert!(ledger.append(plain[2].clone()).wait().is_err(), "a fenced replicate yields nothing");
    let mut again = plain[1][2].clone();
    if let Event::Leased { replicate, .. } = &mut again {
        replicate.0 = uuid::Uuid::from_u128(99);
    }
    let mut measured = plain[2][0].clone();
    if let Event::Measured { replicate, .. } = &mut measured {
        replicate.0 = uuid::Uuid::from_u128(99);
    }
    ledger.append(vec![again, measured]).wait().unwrap();
    assert_eq!(states(), [(LeaseState::Fenced, None), (LeaseState::Measured, Some(1.3))]);
}

#[test]
fn a_file_that_nothing_can_change_is_read_without_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("a ?study #1 100%");
    let written = closed(&odd, 3);
    let reader = Reader::open_immutable(schema::path(&odd)).unwrap();
    assert_eq!(reader.records(0, 1000).unwrap(), written);
}

#[test]
fn a_directory_without_a_ledger_says_so() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Reader::open(dir.path()), Err(Error::Missing { .. })));
    assert!(matches!(verify(dir.path()), Err(Error::Missing { .. })));
}
