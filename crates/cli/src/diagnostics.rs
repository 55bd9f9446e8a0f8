//! Problems of a task file, with the line they are about.

use std::fmt;

use empiric_tasks::Diagnostic;
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, ThemeCharacters, ThemeStyles,
};

use crate::{ambient, out};

/// The problem on one line: place, message, remedy.
pub(crate) fn one_line(problem: &Diagnostic) -> String {
    let place = match problem.position() {
        Some((line, column)) => format!("{}:{line}:{column}", problem.path.display()),
        None => problem.path.display().to_string(),
    };
    let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    format!("{place}: {}{help}", problem.message)
}

/// All problems as pictures of the lines they are about.
pub(crate) fn render(problems: &[Diagnostic]) -> String {
    let styles = if ambient::colour() && out::talks_to_terminal() {
        ThemeStyles::ansi()
    } else {
        ThemeStyles::none()
    };
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme {
        characters: ThemeCharacters::unicode(),
        styles,
    });
    let mut text = String::new();
    for problem in problems {
        let shown = Shown {
            problem,
            source: NamedSource::new(
                problem.path.display().to_string(),
                problem.source.to_string(),
            ),
        };
        if handler.render_report(&mut text, &shown).is_err() {
            text.push_str(&one_line(problem));
        }
    }
    text
}

struct Shown<'a> {
    problem: &'a Diagnostic,
    source: NamedSource<String>,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.problem.span.as_ref().map(|_| &self.source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.problem.span.clone()?;
        let label = self.problem.label.clone().unwrap_or_else(|| "here".to_owned());
        Some(Box::new(std::iter::once(LabeledSpan::at(span, label))))
    }
}
