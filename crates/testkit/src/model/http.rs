//! As much of HTTP/1.1 as the model server speaks, so that it can also break off anywhere in it.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::TcpStream,
};

/// Most bytes of a head, and of a body.
const HEAD: usize = 64 << 10;
const BODY: usize = 64 << 20;

/// A request with its whole body.
pub(super) struct Request {
    pub(super) path: String,
    /// Names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// The next request; none when the client has hung up. `held` keeps what was read beyond the one before.
pub(super) fn read(connection: &mut TcpStream, held: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let end = loop {
        if let Some(at) = held.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if held.len() > HEAD || !more(connection, held)? {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&held[..end]).into_owned();
    held.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
        .collect();
    let body = if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        chunked(connection, held)?
    } else {
        let length =
            headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        take(connection, held, length)?
    };
    Ok(Some(Request { path, headers, body }))
}

fn more(connection: &mut TcpStream, held: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 16 << 10];
    let read = connection.read(&mut buffer)?;
    held.extend_from_slice(&buffer[..read]);
    Ok(read > 0)
}

fn take(connection: &mut TcpStream, held: &mut Vec<u8>, length: usize) -> io::Result<Vec<u8>> {
    while held.len() < length.min(BODY) {
        if !more(connection, held)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(held.drain(..length.min(BODY)).collect())
}

fn chunked(connection: &mut TcpStream, held: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = held.windows(2).position(|two| two == b"\r\n") {
                break at;
            }
            if !more(connection, held)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let size = String::from_utf8_lossy(&held[..end]).into_owned();
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16);
        let size = size.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        held.drain(..end + 2);
        body.extend(take(connection, held, size)?);
        take(connection, held, 2)?;
        if size == 0 || body.len() > BODY {
            return Ok(body);
        }
    }
}

/// A whole answer in JSON.
pub(super) fn answer(
    connection: &mut TcpStream,
    status: u16,
    headers: &[(&str, String)],
    body: &[u8],
) -> io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    connection.write_all(&[head.as_bytes(), body].concat())
}

/// The head of a stream of events, which goes on in chunks.
pub(super) fn begin_stream(connection: &mut TcpStream) -> io::Result<()> {
    connection.write_all(
        b"HTTP/1.1 200 Said\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n",
    )
}

/// One chunk.
pub(super) fn chunk(connection: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    connection.write_all(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
}

/// The end of the stream.
pub(super) fn end_stream(connection: &mut TcpStream) -> io::Result<()> {
    connection.write_all(b"0\r\n\r\n")
}

/// Waits until the client hangs up.
pub(super) fn linger(connection: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    while connection.read(&mut buffer)? > 0 {}
    Ok(())
}
