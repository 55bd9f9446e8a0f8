//! The two streams: data on standard output, talk on standard error. A reader that goes away ends the program quietly.

use std::{
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
};

use serde::Serialize;

/// Prints one line of data.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")
}

/// Prints data as it is.
pub(crate) fn raw(text: &str) -> io::Result<()> {
    io::stdout().lock().write_all(text.as_bytes())
}

/// Prints one JSON value on one line.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Says something to the person at the terminal; a closed standard error loses it.
pub(crate) fn talk(text: &str) {
    writeln!(io::stderr().lock(), "{text}").ok();
}

/// Whether standard error is a terminal.
pub(crate) fn talks_to_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Columns of the terminal behind `stream`; what is not a terminal is given long lines.
fn columns(stream: impl AsFd) -> usize {
    let size = rustix::termios::tcgetwinsize(stream);
    size.map(|size| usize::from(size.ws_col)).ok().filter(|columns| *columns > 0).unwrap_or(400)
}

/// Columns of the terminal that is talked to.
pub(crate) fn talk_columns() -> usize {
    columns(io::stderr())
}

/// Columns of the terminal that is printed to.
pub(crate) fn print_columns() -> usize {
    columns(io::stdout())
}
