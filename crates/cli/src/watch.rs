//! `empiric watch`: a study on the terminal, while another process is at work on it and after.
//!
//! Reads the ledger and posts requests, as every other process may; it can neither slow a study nor spoil it. Where there
//! is no terminal to draw on it prints lines instead, and says so.

mod app;
mod detail;
mod draw;
mod follow;
mod plain;
mod plot;
#[cfg(test)]
mod tests;

use std::{
    io::{self, IsTerminal as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use empiric_core::Study;
use empiric_ledger::{Inbox, Reader, Request, RequestId};
use ratatui::crossterm::event::{self, Event as Input, KeyEventKind};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
};

use crate::{ambient, args::Watch, exit::Failure, look, out};

use app::{App, Want};
use follow::{Follower, Sight};

/// Between looks at the ledger.
const TICK: Duration = Duration::from_millis(200);
/// Signals that end the view; the terminal is put back first. SIGHUP is not among them and ends the program as it does any
/// other; where it is ignored, [`there`] sees that the terminal is gone.
const ENDS: [i32; 2] = [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT];

pub(crate) fn watch(args: &Watch) -> Result<(), Failure> {
    let layout = look::layout(&args.study)?;
    if args.json {
        return plain::json(&layout);
    }
    let why = if args.plain {
        None
    } else if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        Some("there is no terminal to draw on")
    } else if ambient::is_dumb_terminal() {
        Some("this terminal cannot be drawn on (TERM)")
    } else {
        let mut follower = Follower::open(&layout)?;
        return on_screen(&mut follower, ambient::colour());
    };
    if let Some(why) = why {
        out::talk(&format!("note: {why}, so what happens is printed line by line"));
    }
    plain::lines(&layout)
}

/// A request that waits for its answer.
struct Asked {
    id: RequestId,
    what: &'static str,
}

fn on_screen(follower: &mut Follower, colour: bool) -> Result<(), Failure> {
    let over = Arc::new(AtomicBool::new(false));
    for signal in ENDS {
        signal_hook::flag::register(signal, Arc::clone(&over))?;
    }
    follower.catch_up()?;
    let Some(first) = follower.sight() else { return Ok(()) };
    let mut app = App::new(&first);
    let mut sight = first;
    // What one arm alone looks like, with the event that it is of.
    let mut through: Option<(u64, Sight)> = None;
    let mut asked: Option<Asked> = None;
    // Also puts the terminal back when something panics.
    let mut terminal = ratatui::try_init()?;
    let typed = typing();
    let ended = loop {
        let seq = sight.study.seq();
        through = app.arm.as_ref().map(|arm| match through.take() {
            Some((at, of)) if at == seq && of.arm.as_ref() == Some(arm) => {
                (at, Sight { at_work: sight.at_work, ..of })
            }
            _ => (seq, sight.of_arm(arm)),
        });
        let shown = through.as_ref().map_or(&sight, |(_, of)| of);
        app.look(shown);
        let now = (ambient::clock())();
        let drawn =
            terminal.draw(|frame| draw::draw(frame, &mut app, shown, now, draw::Paint { colour }));
        if let Err(error) = drawn {
            break Err(error.into());
        }
        match keys(&mut app, &sight.study, &typed) {
            Ok(Want::Quit) => break Ok(()),
            Ok(Want::Ask(request)) => asked = ask(follower, &mut app, request),
            Ok(Want::Open(no)) => {
                let Some(trial) = sight.study.trial(no) else { continue };
                app.open(detail::Detail::of(follower.layout(), &sight.study, trial));
            }
            Ok(Want::Nothing) => {}
            // The terminal went away.
            Err(_) => break Ok(()),
        }
        if over.load(Ordering::Relaxed) {
            break Ok(());
        }
        match follower.follow(|_, _| {}) {
            Ok(true) => {
                sight = follower.sight().unwrap_or(sight);
                if let app::Page::Trial(detail) = &mut app.page
                    && let Some(trial) = sight.study.trial(detail.no)
                {
                    **detail = detail::Detail::of(follower.layout(), &sight.study, trial);
                }
            }
            Ok(false) => sight.at_work = follower.at_work(),
            Err(failure) => app.say(failure.message()),
        }
        if let Some(waiting) = asked.take() {
            asked = answered(follower, &mut app, waiting);
        }
    };
    ratatui::restore();
    ended
}

/// What is typed, read by a thread of its own: one that reads from a terminal that goes away never comes back, and ends with
/// the program.
fn typing() -> mpsc::Receiver<Input> {
    let (sender, typed) = mpsc::channel();
    thread::spawn(move || {
        while let Ok(input) = event::read() {
            if sender.send(input).is_err() {
                break;
            }
        }
    });
    typed
}

/// Takes in what was typed within a tick.
///
/// # Errors
/// When the terminal is gone.
fn keys(app: &mut App, study: &Study, typed: &mpsc::Receiver<Input>) -> io::Result<Want> {
    let mut wait = TICK;
    loop {
        there()?;
        match typed.recv_timeout(wait) {
            Ok(Input::Key(key)) if key.kind != KeyEventKind::Release => {
                let wanted = app.key(key, study);
                if wanted != Want::Nothing {
                    return Ok(wanted);
                }
            }
            Ok(_) => {}
            Err(mpsc::RecvTimeoutError::Timeout) => return Ok(Want::Nothing),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        wait = Duration::ZERO;
    }
}

/// That the terminal is there.
fn there() -> io::Result<()> {
    let stdin = io::stdin();
    let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
    match rustix::event::poll(&mut ready, Some(&Timespec::default())) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    if ready[0].revents().intersects(gone) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(())
}

fn ask(follower: &Follower, app: &mut App, request: Request) -> Option<Asked> {
    let what = match &request {
        Request::Pause => "pause",
        Request::Resume => "resume",
        Request::Stop => "stop",
        Request::Note { .. } => "note",
        Request::IdeaAdd { .. } | Request::IdeaChange { .. } => "idea",
        Request::Pin { .. } => "pin",
        Request::Unpin { .. } => "unpin",
        Request::Requeue { .. } => "measure again",
        Request::Budget { .. } | Request::Submit { .. } => "request",
    };
    let at_work = follower.at_work();
    if !at_work && request == Request::Stop {
        app.say("no process is at work on this study, so there is nothing to stop".to_owned());
        return None;
    }
    let inbox = Inbox::of(follower.layout().root());
    match inbox.post(&ambient::user(), request, (ambient::clock())()) {
        Ok(_) if !at_work => {
            app.say(format!("{what}: noted; the next session of this study takes it up"));
            None
        }
        Ok(id) => {
            app.say(format!("{what}: asked"));
            Some(Asked { id, what })
        }
        Err(error) => {
            app.say(format!("{what}: {error}"));
            None
        }
    }
}

/// Says what became of a request; goes on waiting when nothing has yet.
fn answered(follower: &Follower, app: &mut App, asked: Asked) -> Option<Asked> {
    let reader = Reader::open(follower.layout().root());
    match reader.and_then(|reader| reader.answer(asked.id)) {
        Ok(None) => Some(asked),
        Ok(Some(answer)) => {
            let end =
                answer.refusal.map_or_else(|| "done".to_owned(), |why| format!("refused: {why}"));
            app.say(format!("{}: {end}", asked.what));
            None
        }
        Err(error) => {
            app.say(format!("{}: {error}", asked.what));
            None
        }
    }
}
