//! Text and numbers on the page: escaped, bounded, rounded.

use jiff::Timestamp;

/// Appends formatted text to a `String`.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{
        use std::fmt::Write as _;
        let _ = write!($out, $($arg)*); // a String takes everything
    }};
}
pub(crate) use put;

/// Text as HTML, for elements and quoted attributes. Markup loses its meaning; characters that are invisible, reorder
/// text or control a terminal are spelt out, so that what is shown is what is there.
pub(crate) fn esc(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || deceptive(c) => put!(out, "\\u{{{:x}}}", u32::from(c)),
            c => out.push(c),
        }
    }
    out
}

/// Characters that change how their neighbours are shown, or that are not shown themselves (Unicode UAX 9, UTR 36).
pub(crate) fn deceptive(c: char) -> bool {
    matches!(u32::from(c),
        0x00ad | 0x034f | 0x061c | 0x115f | 0x1160 | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e
        | 0x2060..=0x206f | 0x3164 | 0xfeff | 0xffa0 | 0xfff9..=0xfffb | 0xe0000..=0xe0fff)
        || u32::from(c) & 0xfffe == 0xfffe
}

/// At most `most` characters of `text`, with an ellipsis for the rest.
pub(crate) fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// `text` on one line of at most `most` characters, unescaped.
pub(crate) fn flat(text: &str, most: usize) -> String {
    let near: String = text.chars().take(most.saturating_mul(4)).collect();
    clip(&near.split_whitespace().collect::<Vec<_>>().join(" "), most)
}

/// `text` on one line of at most `most` characters, as HTML.
pub(crate) fn line(text: &str, most: usize) -> String {
    esc(&flat(text, most))
}

/// `text` with its line breaks, at most `most` characters, as HTML.
pub(crate) fn block(text: &str, most: usize) -> String {
    esc(&clip(text.trim_end(), most))
}

/// A time to the second.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// How many decimals a group of numbers is shown with; none where plain decimals would be unreadable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decimals(Option<usize>);

impl Decimals {
    /// So many that `value` has `significant` digits.
    pub(crate) fn of(value: f64, significant: i32) -> Self {
        if value == 0.0 || !value.is_finite() {
            return Self(Some(0));
        }
        let place = value.abs().log10().floor() as i32;
        let readable = (-7..12).contains(&place);
        Self(readable.then(|| usize::try_from(significant - 1 - place).unwrap_or(0)))
    }

    /// So many that half the width of `interval` has two digits, or else `value` four.
    pub(crate) fn around(value: f64, interval: Option<[f64; 2]>) -> Self {
        let half = interval.map_or(0.0, |[low, high]| (high - low) / 2.0);
        if half.is_finite() && half > 1e-6 * value.abs() {
            Self::of(half, 2)
        } else {
            Self::of(value, 4)
        }
    }

    /// A value.
    pub(crate) fn show(self, value: f64) -> String {
        if !value.is_finite() {
            return "not finite".to_owned();
        }
        let sign = if value < 0.0 { "−" } else { "" };
        format!("{sign}{}", self.bare(value))
    }

    /// A value with its sign; zero has none.
    pub(crate) fn signed(self, value: f64) -> String {
        let sign = if value > 0.0 { "+" } else { "" };
        format!("{sign}{}", self.show(value))
    }

    fn bare(self, value: f64) -> String {
        let size = value.abs();
        match self.0 {
            Some(decimals) if size < 1e15 => format!("{size:.decimals$}"),
            Some(_) | None => format!("{size:.3e}"),
        }
    }
}

/// A value to five digits.
pub(crate) fn number(value: f64) -> String {
    Decimals::of(value, 5).show(value)
}

/// A signed value to three digits.
pub(crate) fn signed(value: f64) -> String {
    Decimals::of(value, 3).signed(value)
}

/// `part` of `whole` in per cent.
pub(crate) fn share(part: usize, whole: usize) -> String {
    format!("{:.0} %", 100.0 * part as f64 / whole.max(1) as f64)
}

/// A count with its noun.
pub(crate) fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Seconds as people say them.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
