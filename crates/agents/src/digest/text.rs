//! Numbers and other people's words on one line.

use empiric_core::quote;

pub use empiric_core::figures::{number, signed};

/// `text` on one line, without what is not seen and without « and », in at most `limit` characters.
#[must_use]
pub fn one_line(text: &str, limit: usize) -> String {
    // What is left out need not be looked at either.
    let seen: String = text.chars().take(4 * limit + 64).collect();
    let mut line = String::new();
    let (mut count, mut blank) = (0, false);
    for c in quote::clean(&seen).chars() {
        if c.is_whitespace() {
            blank = !line.is_empty();
            continue;
        }
        if count + usize::from(blank) >= limit {
            line.push('…');
            break;
        }
        if std::mem::take(&mut blank) {
            line.push(' ');
            count += 1;
        }
        // These mark where data begin and end.
        line.push(if matches!(c, '«' | '»') { '"' } else { c });
        count += 1;
    }
    line
}

/// `text` as data: on one line between « and », which do not occur in it.
pub(super) fn data(text: &str, limit: usize) -> String {
    format!("«{}»", one_line(text, limit))
}

/// `line` in at most `limit` bytes; data that are cut off still end as data.
pub(super) fn bounded(line: &str, limit: usize) -> String {
    if line.len() <= limit {
        return line.to_owned();
    }
    let room = limit.saturating_sub('»'.len_utf8());
    let end = (0..=room).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    let mut cut = line[..end].to_owned();
    if cut.matches('«').count() > cut.matches('»').count() {
        cut.push('»');
    }
    cut
}
