//! The one thread that writes, and the handle that feeds it.
//!
//! Appends that wait in the queue share a transaction (group commit); each is a savepoint in it, so that one that is
//! refused leaves the others alone. Replies leave after the commit. The thread ends when the handle is dropped: it
//! serves what is queued, folds the write-ahead log into the file and seals it.

use std::{
    path::{Path, PathBuf},
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll},
    thread::JoinHandle,
};

use empiric_core::{Digest, Event, Record, TrialNo};
use empiric_doors::{self as doors, Door};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Savepoint, TransactionBehavior};
use tokio::sync::oneshot;

use crate::{
    Clock, Error, Head, Inbox, RequestId, chain, lock::Lock, projection, schema, seal::Seal,
};

/// Most appends that share one transaction.
const GROUP: usize = 64;

/// How to open a ledger for writing.
#[derive(Clone)]
pub struct Options {
    /// The study's directory; made if it is not there.
    pub dir: PathBuf,
    /// Where events get their time.
    pub clock: Clock,
    /// What a returned record survives.
    pub durability: Durability,
}

/// What a returned record survives. The chain is a consistent prefix after either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The death of this process at any instruction.
    #[default]
    Process,
    /// Also a loss of power: each commit waits for the disk.
    Power,
}

/// What became of a request, appended together with the events that it led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The request.
    pub request: RequestId,
    /// The trial that it became.
    pub trial: Option<TrialNo>,
    /// Why it was not done, where it was not.
    pub refusal: Option<String>,
}

/// The right to append to a study's ledger. Dropping it waits for what is queued, then closes and seals the file.
#[derive(Debug)]
pub struct Ledger {
    queue: Option<mpsc::Sender<Append>>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

struct Append {
    events: Vec<Event>,
    replies: Vec<Reply>,
    done: oneshot::Sender<Result<Vec<Record>, Error>>,
}

/// An append under way: await it, or [`wait`](Self::wait) for it. Dropping it does not undo the append.
#[derive(Debug)]
#[must_use = "an append may be refused"]
pub struct Appending(oneshot::Receiver<Result<Vec<Record>, Error>>);

impl Appending {
    /// Blocks until the records are durable. Not for async code.
    ///
    /// # Errors
    /// As [`Ledger::append`].
    pub fn wait(self) -> Result<Vec<Record>, Error> {
        self.0.blocking_recv().unwrap_or(Err(Error::Closed))
    }
}

impl Future for Appending {
    type Output = Result<Vec<Record>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|done| done.unwrap_or(Err(Error::Closed)))
    }
}

impl Ledger {
    /// Opens the ledger in `options.dir` for writing, made or migrated as needed.
    ///
    /// # Errors
    /// When another process writes, a newer Empiric made it, the last event is not as its hash or the seal says, or
    /// the disk refuses.
    pub fn open(options: Options) -> Result<Self, Error> {
        let writer = Writer::open(options)?;
        let (queue, appends) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run(&appends))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Appends `events` in one transaction with their projections, all or none. Returns at once.
    ///
    /// # Errors
    /// The future's: an event does not follow from those before it or has no exact JSON form, something else wrote to
    /// the chain, the disk refuses, or the writer has ended.
    pub fn append(&self, events: Vec<Event>) -> Appending {
        self.append_answering(events, Vec::new())
    }

    /// Appends `events` and what became of the requests that led to them, all or none; the requests leave the inbox.
    ///
    /// # Errors
    /// As [`Self::append`]; also when a request was answered already.
    pub fn append_answering(&self, events: Vec<Event>, replies: Vec<Reply>) -> Appending {
        let (done, appending) = oneshot::channel();
        if let Some(queue) = &self.queue {
            // A writer that has ended drops `done`, which the future reports.
            drop(queue.send(Append { events, replies, done }));
        }
        Appending(appending)
    }

    /// Closes and seals the ledger. Dropping does the same and says nothing.
    ///
    /// # Errors
    /// When the write-ahead log cannot be folded in or the seal cannot be written; no record is lost by that.
    pub fn close(mut self) -> Result<(), Error> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Error> {
        drop(self.queue.take());
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap_or(Err(Error::Closed)))
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// Drops the projections of the study in `dir` and makes them again from its events.
///
/// # Errors
/// As [`Ledger::open`]; also when an event cannot be read or does not follow from those before it.
pub fn rebuild_projections(dir: &Path) -> Result<(), Error> {
    let mut writer = Writer::open(Options {
        dir: dir.to_owned(),
        clock: std::sync::Arc::new(|| Timestamp::UNIX_EPOCH),
        durability: Durability::Power,
    })?;
    let tx = writer.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    projection::rebuild(&tx)?;
    tx.commit()?;
    writer.close()
}

/// The writer's own things. Fields drop in this order: the lock last.
struct Writer {
    db: Connection,
    head: Head,
    clock: Clock,
    dir: PathBuf,
    inbox: Inbox,
    _lock: Lock,
}

impl Writer {
    fn open(options: Options) -> Result<Self, Error> {
        let Options { dir, clock, durability } = options;
        fs_err::create_dir_all(&dir)?;
        let lock = Lock::take(&dir)?;
        let full_sync = durability == Durability::Power;
        let (mut db, found) = schema::open_to_write(&schema::path(&dir), full_sync)?;
        if found > 0 {
            check_head(&db, &dir)?;
            // Opening for writing breaks the seal, and with it what shows the change.
            if Seal::read(&dir)?.map_or(Ok(true), |seal| seal.holds(&dir))? {
                Seal::remove(&dir)?;
            } else {
                return Err(Error::Changed { path: schema::path(&dir) });
            }
        }
        schema::migrate(&mut db, found)?;
        let head = Head::read(&db)?;
        let inbox = Inbox::of(&dir);
        for id in inbox.ids()? {
            if is_answered(&db, id)? {
                inbox.remove(id);
            }
        }
        Ok(Self { db, head, clock, dir, inbox, _lock: lock })
    }

    fn run(mut self, appends: &mpsc::Receiver<Append>) -> Result<(), Error> {
        while let Ok(first) = appends.recv() {
            let mut group = vec![first];
            group.extend(appends.try_iter().take(GROUP - 1));
            self.serve(group);
        }
        self.close()
    }

    fn serve(&mut self, mut group: Vec<Append>) {
        let results = match self.commit(&mut group) {
            Ok(results) => results,
            Err(error) => vec![Err(error); group.len()],
        };
        for (append, result) in group.into_iter().zip(results) {
            if let Ok(records) = &result {
                records.iter().for_each(|record| doors::after(Door::Append(record.event.name())));
                for reply in &append.replies {
                    doors::before(Door::Answered);
                    self.inbox.remove(reply.request);
                    doors::after(Door::Answered);
                }
            }
            drop(append.done.send(result));
        }
    }

    /// Writes a group in one transaction. The outer error is everyone's: then nothing was written.
    fn commit(&mut self, group: &mut [Append]) -> Result<Vec<Result<Vec<Record>, Error>>, Error> {
        let mut tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = Head::read(&tx)?;
        if found != self.head {
            return Err(moved(self.head, found));
        }
        let mut head = self.head;
        let mut results = Vec::with_capacity(group.len());
        for append in group {
            let at = (self.clock)().as_microsecond();
            let events = std::mem::take(&mut append.events);
            let savepoint = tx.savepoint()?;
            let result = write(&savepoint, head, at, events, &append.replies);
            results.push(match result {
                Ok((records, reached)) => {
                    savepoint.commit()?;
                    head = reached;
                    Ok(records)
                }
                Err(error) => {
                    savepoint.finish()?;
                    Err(error)
                }
            });
        }
        tx.commit()?;
        self.head = head;
        Ok(results)
    }

    fn close(self) -> Result<(), Error> {
        let Self { db, head, clock: _, dir, inbox: _, _lock } = self;
        db.query_row("PRAGMA wal_checkpoint(truncate)", [], |_| Ok(()))?;
        db.close().map_err(|(_, error)| error)?;
        doors::before(Door::Seal);
        Seal::write(&dir, head)?;
        doors::after(Door::Seal);
        Ok(())
    }
}

/// Appends to the chain, the projections and the answers.
fn write(
    db: &Savepoint<'_>,
    mut head: Head,
    at: i64,
    events: Vec<Event>,
    replies: &[Reply],
) -> Result<(Vec<Record>, Head), Error> {
    let mut insert = db.prepare_cached(
        "INSERT INTO event (seq, at, name, trial, body, hash) VALUES (?, ?, ?, ?, ?, ?)",
    )?;
    let mut records = Vec::with_capacity(events.len());
    for event in events {
        let unfit = |what| Error::Unfit { name: event.name(), what };
        doors::before(Door::Append(event.name()));
        let body = chain::encode(&event)?;
        let time = chain::time(at).map_err(unfit)?;
        head = head.then(at, body.as_bytes());
        let seq = head.seq.cast_signed();
        insert.execute((seq, at, event.name(), event.trial().map(|no| no.0), body, head.hash.0))?;
        let record = Record { seq: head.seq, at: time, event };
        projection::project(db, &record)?;
        records.push(record);
    }
    for Reply { request, trial, refusal } in replies {
        if is_answered(db, *request)? {
            return Err(Error::AnsweredAlready { id: *request });
        }
        db.prepare_cached("INSERT INTO answer VALUES (?, ?, ?, ?)")?.execute((
            request.0.as_bytes(),
            head.seq.cast_signed(),
            trial.map(|no| no.0),
            refusal,
        ))?;
    }
    Ok((records, head))
}

fn is_answered(db: &Connection, id: RequestId) -> Result<bool, Error> {
    let mut found = db.prepare_cached("SELECT 1 FROM answer WHERE request = ?")?;
    Ok(found.exists([id.0.as_bytes()])?)
}

/// Refuses a chain whose last event is not what its content or the seal says.
fn check_head(db: &Connection, dir: &Path) -> Result<(), Error> {
    let head = Head::read(db)?;
    let sql =
        "SELECT event.seq, event.at, CAST(event.body AS BLOB), ifnull(before.hash, zeroblob(32))
               FROM event LEFT JOIN event AS before ON before.seq = event.seq - 1
               ORDER BY event.seq DESC LIMIT 1";
    let linked = db
        .query_row(sql, [], |row| {
            let seq = row.get::<_, i64>(0)?.cast_unsigned().saturating_sub(1);
            let before = Head { seq, hash: Digest(row.get(3)?) };
            Ok(before.then(row.get(1)?, &row.get::<_, Vec<u8>>(2)?))
        })
        .optional()?
        .unwrap_or(Head::START);
    let sealed = Seal::read(dir)?.map(|seal| seal.head());
    match [Some(linked), sealed].into_iter().flatten().find(|expected| *expected != head) {
        Some(expected) => Err(moved(expected, head)),
        None => Ok(()),
    }
}

fn moved(expected: Head, found: Head) -> Error {
    Error::HeadMoved { expected: expected.to_string(), found: found.to_string() }
}
