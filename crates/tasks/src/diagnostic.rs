//! What is wrong with a task file: plain data, for whoever renders it. Nothing is printed here.

use std::{fmt, ops::Range, path::PathBuf, sync::Arc};

/// Most characters of a message, a label or a help.
const LONGEST: usize = 400;

/// One problem of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong; a lowercase fragment.
    pub message: String,
    /// The file it is about.
    pub path: PathBuf,
    /// Byte range in `source`.
    pub span: Option<Range<usize>>,
    /// Short note for the span.
    pub label: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// Text of the file; empty when it could not be read.
    pub source: Arc<str>,
}

impl Diagnostic {
    /// Line and column of the span's start, counted from 1; the column counts characters.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        let before = self.source.get(..self.span.as_ref()?.start)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
        Some((line, column))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.position() {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

impl Diagnostic {
    pub(crate) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = Some(clipped(label.into()));
        self
    }

    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(clipped(help.into()));
        self
    }

    pub(crate) fn help_if(&mut self, help: Option<impl Into<String>>) -> &mut Self {
        self.help = help.map(|help| clipped(help.into())).or(self.help.take());
        self
    }
}

/// A message quotes what is wrong, and what is wrong may be as long as the file.
fn clipped(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text,
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

/// Collects the problems of one file.
#[derive(Debug)]
pub(crate) struct Problems {
    path: PathBuf,
    source: Arc<str>,
    found: Vec<Diagnostic>,
}

impl Problems {
    pub(crate) fn new(path: PathBuf, source: Arc<str>) -> Self {
        Self { path, source, found: Vec::new() }
    }

    pub(crate) fn add(
        &mut self,
        span: Option<Range<usize>>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.found.push(Diagnostic {
            message: clipped(message.into()),
            path: self.path.clone(),
            span,
            label: None,
            help: None,
            source: Arc::clone(&self.source),
        });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All problems in the order of the file.
    pub(crate) fn into_vec(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|d| d.span.as_ref().map(|s| (s.start, s.end)));
        self.found
    }
}

/// The candidate that `word` was probably meant to be.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count().max(3) / 3))
        .min()
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

/// Names in a sentence: `a, b or c`.
pub(crate) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
