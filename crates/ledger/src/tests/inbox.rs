//! Requests reach the writer once and are answered once.

use std::collections::BTreeMap;

use empiric_core::{Budget, Event, TrialNo};
use jiff::Timestamp;

use super::{open, script};
use crate::{Answer, Error, Inbox, Reader, Reply, Request, Submission, verify};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn requests_wait_until_they_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = Inbox::of(dir.path());
    assert!(!inbox.has_requests().unwrap());
    let submission = Submission {
        files: BTreeMap::from([
            ("a.py".to_owned(), Some("x = 1\n".to_owned())),
            ("b.py".to_owned(), None),
        ]),
        parents: vec![TrialNo(0)],
        hypothesis: "smaller".to_owned(),
        prediction: None,
    };
    let requests = [
        Request::Pause,
        Request::Note { text: "hm".to_owned() },
        Request::Submit { submission },
        Request::Budget { budget: Budget { trials: Some(3), ..Budget::default() } },
    ];
    let ids: Vec<_> = (5..)
        .zip(&requests)
        .map(|(second, request)| inbox.post("me", request.clone(), at(second)).unwrap())
        .collect();
    let mail = inbox.waiting().unwrap();
    assert_eq!(mail.posted.iter().map(|posted| posted.id).collect::<Vec<_>>(), ids);
    let read: Vec<Request> = mail.posted.into_iter().map(|posted| posted.request).collect();
    assert_eq!(read, requests);

    let ledger = open(dir.path());
    ledger.append(script::opening()).wait().unwrap();
    let reply = |n: usize, refusal: Option<&str>| Reply {
        request: ids[n],
        trial: refusal.is_none().then_some(TrialNo(0)),
        refusal: refusal.map(str::to_owned),
    };
    let paused = vec![Event::Paused { by: "me".to_owned() }];
    ledger.append_answering(paused.clone(), vec![reply(0, None)]).wait().unwrap();
    ledger.append_answering(Vec::new(), vec![reply(2, Some("b.py is protected"))]).wait().unwrap();
    assert_eq!(inbox.waiting().unwrap().posted.len(), 2);
    let twice = ledger.append_answering(paused, vec![reply(0, None)]).wait();
    assert!(matches!(twice, Err(Error::AnsweredAlready { id }) if id == ids[0]));

    let reader = Reader::open(dir.path()).unwrap();
    let done = Answer { seq: 4, trial: Some(TrialNo(0)), refusal: None };
    assert_eq!(reader.answer(ids[0]).unwrap(), Some(done));
    assert_eq!(reader.answer(ids[1]).unwrap(), None);
    let refusal = Some("b.py is protected".to_owned());
    assert_eq!(reader.answer(ids[2]).unwrap(), Some(Answer { seq: 4, trial: None, refusal }));
    assert_eq!(reader.head().unwrap().seq, 4);
    drop(reader);
    ledger.close().unwrap();
    assert_eq!(verify(dir.path()).unwrap().faults, []);
}

#[test]
fn a_request_whose_answer_outlived_its_file_is_not_seen_again() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = Inbox::of(dir.path());
    let id = inbox.post("me", Request::Stop, at(1)).unwrap();
    let file = dir.path().join(format!("inbox/{id}.json"));
    let text = fs_err::read(&file).unwrap();
    let ledger = open(dir.path());
    ledger.append(script::opening()).wait().unwrap();
    let reply = Reply { request: id, trial: None, refusal: None };
    ledger.append_answering(Vec::new(), vec![reply]).wait().unwrap();
    drop(ledger);
    // As after a kill between the commit and the removal.
    fs_err::write(&file, text).unwrap();
    drop(open(dir.path()));
    assert!(!inbox.has_requests().unwrap());
}

#[test]
fn a_file_that_is_no_request_is_set_apart() {
    let dir = tempfile::tempdir().unwrap();
    let inbox = Inbox::of(dir.path());
    let good = inbox.post("me", Request::Resume, at(1)).unwrap();
    let bad = "01900000-0000-7000-8000-000000000001".parse().unwrap();
    fs_err::write(dir.path().join(format!("inbox/{bad}.json")), r#"{"kind": "dance"}"#).unwrap();
    fs_err::write(dir.path().join("inbox/README"), "hello").unwrap();
    let mail = inbox.waiting().unwrap();
    assert_eq!(mail.posted[0].id, good);
    assert_eq!(mail.unreadable.len(), 1);
    assert_eq!(mail.unreadable[0].0, bad);
}
