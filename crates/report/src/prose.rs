//! Sentences of the report, written once: plain text with a few marks of Markdown, shown as HTML, Markdown or plain text.
//!
//! The marks are `**strong**`, `*emphasised*`, `` `code` `` and a backslash before a character that is to be taken as it
//! is. Whatever comes from elsewhere passes through [`quote`], so it cannot be a mark.

use crate::page::text::{deceptive, esc, flat};

/// Text from elsewhere on one line of at most `most` characters, without meaning as a mark.
pub(crate) fn quote(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in flat(text, most).chars() {
        if "\\`*_[]<>#|&~$".contains(c) {
            out.push('\\');
        }
        if c.is_control() || deceptive(c) {
            out.push_str(&format!("\\\\u{{{:x}}}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// One mark or some text.
enum Part {
    Text(String),
    Strong,
    Em,
    Code,
}

fn parts(prose: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut chars = prose.chars().peekable();
    let flush = |text: &mut String, parts: &mut Vec<Part>| {
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(text)));
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            '*' if chars.peek() == Some(&'*') => {
                chars.next();
                flush(&mut text, &mut parts);
                parts.push(Part::Strong);
            }
            '*' | '`' => {
                flush(&mut text, &mut parts);
                parts.push(if c == '*' { Part::Em } else { Part::Code });
            }
            c => text.push(c),
        }
    }
    flush(&mut text, &mut parts);
    parts
}

/// As HTML.
pub(crate) fn html(prose: &str) -> String {
    let mut out = String::with_capacity(prose.len() * 5 / 4);
    let [mut strong, mut em, mut code] = [false; 3];
    let tag = |out: &mut String, open: &mut bool, name: &str| {
        out.push_str(if *open { "</" } else { "<" });
        out.push_str(name);
        out.push('>');
        *open = !*open;
    };
    for part in parts(prose) {
        match part {
            Part::Text(text) => out.push_str(&esc(&text)),
            Part::Strong => tag(&mut out, &mut strong, "b"),
            Part::Em => tag(&mut out, &mut em, "em"),
            Part::Code => tag(&mut out, &mut code, "code"),
        }
    }
    out
}

/// As plain text.
pub(crate) fn plain(prose: &str) -> String {
    let text = parts(prose).into_iter().map(|part| match part {
        Part::Text(text) => text,
        Part::Strong | Part::Em | Part::Code => String::new(),
    });
    text.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_tags_and_quoted_text_has_none() {
        let evil = quote("a *b* <i> `c` \\ _d_\u{202e}\u{1b}[1m\n| e", 80);
        let prose = format!("**{evil}** of *f* and `g`");
        assert_eq!(
            html(&prose),
            "<b>a *b* &lt;i&gt; `c` \\ _d_\\u{202e}\\u{1b}[1m | e</b> of <em>f</em> and <code>g</code>"
        );
        assert_eq!(plain(&prose), "a *b* <i> `c` \\ _d_\\u{202e}\\u{1b}[1m | e of f and g");
        assert!(prose.contains("\\*b\\*") && prose.contains("\\<i\\>") && prose.contains("\\|"));
    }
}
