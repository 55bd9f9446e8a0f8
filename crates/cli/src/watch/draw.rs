//! The screen, drawn from what there is to see. Reads nothing and asks nobody.

use empiric_core::study::State;
use empiric_report::Mark;
use jiff::Timestamp;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Paragraph},
};

use super::{
    app::{App, Asking, KEYS, Page},
    detail::{Kind, wrapped},
    follow::{Sight, purpose},
    plot::{Plot, colour, glyph},
};
use crate::words::{clean, clip, number, outcome, percent, seconds, signed};

/// Columns from which slots and feed stand beside the trials.
const WIDE: u16 = 110;

/// How things are painted: with colours or without.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    pub(super) colour: bool,
}

impl Paint {
    pub(super) fn of(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    pub(super) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}

/// Draws everything.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    app: &mut App,
    sight: &Sight,
    now: Timestamp,
    paint: Paint,
) {
    let rows = [Constraint::Length(3), Constraint::Min(1), Constraint::Length(1)];
    let [head, body, foot] = Layout::vertical(rows).areas(frame.area());
    header(frame, head, sight, paint);
    match &app.page {
        Page::Study => study(frame, body, app, sight, now, paint),
        Page::Trial(detail) => {
            let width = usize::from(body.width.saturating_sub(1));
            let lines = detail.lines.iter().flat_map(|(kind, text)| {
                let style = match kind {
                    Kind::Head => paint.strong(),
                    Kind::Plain => Style::new(),
                    Kind::Added => paint.of(Color::Green),
                    Kind::Removed => paint.of(Color::Red),
                    Kind::Hunk => paint.of(Color::Cyan),
                };
                let hang = if *kind == Kind::Plain { 11 } else { 2 };
                wrapped(text, width, hang).into_iter().map(move |piece| Line::styled(piece, style))
            });
            let (title, lines) = (format!("trial {}", detail.no), lines.collect());
            page(frame, body, app, &title, lines, paint);
        }
        Page::Lineage => {
            let text = clean(&crate::words::lineage(&sight.study));
            let width = usize::from(body.width);
            let lines = text.lines().map(|line| Line::raw(clip(line, width))).collect();
            page(frame, body, app, "lineage: what was kept, and what it stands on", lines, paint);
        }
        Page::Help => page(frame, body, app, "keys", help(paint), paint),
    }
    footer(frame, foot, app, sight.status.arms.len() > 1, paint);
}

/// What is studied, how it goes, what it has cost: three lines.
fn header(frame: &mut Frame<'_>, area: Rect, sight: &Sight, paint: Paint) {
    let (status, study) = (&sight.status, &sight.study);
    let unit = if status.metric.unit.is_empty() {
        String::new()
    } else {
        format!(" {}", clean(&status.metric.unit))
    };
    let (state, tint) = match status.state {
        State::Running if !sight.at_work => ("nobody at work", Color::Yellow),
        State::Running => ("running", Color::Green),
        State::Paused => ("paused", Color::Yellow),
        State::Stopped => ("stopped", Color::Yellow),
        State::Finished => ("finished", Color::Cyan),
    };
    let sandbox = if status.sandbox == "none" {
        Span::styled("NO SANDBOX", paint.of(Color::Red))
    } else {
        Span::raw(format!("sandbox {}", status.sandbox))
    };
    let own = study.task().provenance() == empiric_core::Provenance::Recipe;
    let first = Line::from(vec![
        Span::styled(clean(&status.task), paint.strong()),
        Span::raw(format!("  {} {}{unit}", status.metric.goal, clean(&status.metric.name))),
        Span::styled(if own { " (self-reported)" } else { "" }, paint.of(Color::Yellow)),
        Span::raw("  "),
        Span::styled(state, paint.of(tint).add_modifier(Modifier::BOLD)),
        Span::raw("  "),
        sandbox,
        match &sight.arm {
            Some(arm) => Span::styled(format!("  arm {}", clean(arm)), paint.of(Color::Magenta)),
            None => {
                Span::styled(format!("  policy {}", clean(&status.search.policy)), paint.faint())
            }
        },
    ]);
    let second = match (&status.champion, status.baseline.mean) {
        (Some(champion), Some(baseline)) => {
            let interval = champion
                .gain_interval
                .map(|[low, high]| format!("  [{}, {}]", signed(low), signed(high)))
                .unwrap_or_default();
            let share = percent(champion.gain, baseline);
            let mut line = Line::from(vec![
                Span::styled(format!("champion {} ", champion.trial), paint.of(Color::Green)),
                Span::raw(number(champion.mean)),
                Span::styled(format!("  gain {} ({share})", signed(champion.gain)), paint.strong()),
                Span::raw(interval),
            ]);
            for more in [
                format!("  baseline {}", number(baseline)),
                format!("  noise sd {}", number(status.noise_sd)),
            ] {
                if line.width() + more.len() <= usize::from(area.width) {
                    line.push_span(Span::raw(more));
                }
            }
            line
        }
        (None, Some(baseline)) => Line::raw(format!(
            "no keep yet  baseline {}  noise sd {}",
            number(baseline),
            number(status.noise_sd)
        )),
        (_, None) => Line::raw("the baseline is being measured"),
    };
    let budget = study.budget();
    let cap = |used: f64, cap: Option<f64>| {
        cap.map_or_else(|| seconds(used), |cap| format!("{}/{}", seconds(used), seconds(cap)))
    };
    let failed: u32 = status.outcomes.failed.values().sum();
    let trials = study.spent_trials();
    let mut spent = vec![
        budget.trials.map_or(format!("trials {trials}"), |most| {
            let arms = if sight.arm.is_some() { 1 } else { study.rows() };
            format!("trials {trials}/{}", u64::from(most) * arms as u64)
        }),
        format!(
            "{} {}  {} {}  {} {}  {} {failed}",
            glyph(Mark::Keep),
            status.outcomes.keep,
            glyph(Mark::Inconclusive),
            status.outcomes.inconclusive,
            glyph(Mark::Discard),
            status.outcomes.discard,
            glyph(Mark::Failed),
        ),
        format!("wall {}", cap(status.cost.wall_s, budget.wall_s)),
        format!("CPU {}", cap(status.cost.cpu_s, budget.cpu_s)),
    ];
    if status.cost.gpu_s > 0.0 || budget.gpu_s.is_some() {
        spent.push(format!("GPU {}", cap(status.cost.gpu_s, budget.gpu_s)));
    }
    if status.cost.tokens > 0 || budget.tokens.is_some() {
        let most = budget.tokens.map(|most| format!("/{most}")).unwrap_or_default();
        spent.push(format!("tokens {}{most}", status.cost.tokens));
    }
    if status.cost.usd > 0.0 || budget.usd.is_some() {
        let most = budget.usd.map(|most| format!("/{most:.2}")).unwrap_or_default();
        spent.push(format!("{:.2}{most} USD", status.cost.usd));
    }
    let third = Line::raw(spent.join("   "));
    frame.render_widget(Paragraph::new(vec![first, second, third]), area);
}

/// The page of the study: curve, trials, slots, feed.
fn study(
    frame: &mut Frame<'_>,
    area: Rect,
    app: &mut App,
    sight: &Sight,
    now: Timestamp,
    paint: Paint,
) {
    let arms = if sight.arm.is_none() && sight.status.arms.len() > 1 {
        let most = if area.height > 30 { 12 } else { 3 };
        sight.status.arms.len().min(most) as u16 + 1
    } else {
        0
    };
    let slots = sight.slots.len().max(1).min(if area.height > 30 { 16 } else { 4 }) as u16 + 1;
    let curve = (area.height * 2 / 5).clamp(6, 24).min(area.height);
    let (curve, trials, arms, slots, feed) = if area.width >= WIDE {
        let [top, bottom] =
            Layout::vertical([Constraint::Length(curve), Constraint::Min(1)]).areas(area);
        let columns = [Constraint::Percentage(58), Constraint::Length(1), Constraint::Min(1)];
        let [trials, _, right] = Layout::horizontal(columns).areas(bottom);
        let rows = [Constraint::Length(arms), Constraint::Length(slots), Constraint::Min(1)];
        let [arms, slots, feed] = Layout::vertical(rows).areas(right);
        (top, trials, arms, slots, feed)
    } else {
        let rest = area.height.saturating_sub(curve + arms + slots);
        let rows = [
            Constraint::Length(curve),
            Constraint::Length(rest.saturating_sub(rest / 3)),
            Constraint::Length(arms),
            Constraint::Length(slots),
            Constraint::Min(0),
        ];
        Layout::vertical(rows).areas::<5>(area).into()
    };
    let name =
        format!("{} by trial, on the split that proposers see", clean(&sight.status.metric.name));
    let inside = titled(frame, curve, &name, paint);
    let goal = sight.status.metric.goal;
    let selected = (!app.rows.is_empty()).then_some(app.selected);
    frame.render_widget(Plot { curve: &sight.curve, goal, selected, paint }, inside);
    list(frame, trials, app, sight, paint);
    side_by_side(frame, arms, sight, paint);
    at_work(frame, slots, sight, now, paint);
    told(frame, feed, sight, paint);
}

/// A rule with a title on it; what is below it is returned.
fn titled(frame: &mut Frame<'_>, area: Rect, title: &str, paint: Paint) -> Rect {
    let title = Span::styled(format!(" {title} "), paint.strong());
    let block = Block::new().borders(Borders::TOP).border_style(paint.faint()).title(title);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    inside
}

fn list(frame: &mut Frame<'_>, area: Rect, app: &mut App, sight: &Sight, paint: Paint) {
    let (shown, all) = (app.rows.len(), sight.study.trials().len());
    let title = if app.filter.is_empty() {
        format!("trials: {all}, newest first")
    } else {
        format!("trials: {shown} of {all} with `{}`", clean(&app.filter))
    };
    let inside = titled(frame, area, &title, paint);
    let height = usize::from(inside.height);
    app.extent[1] = height;
    let place = app.place();
    // The selected row stays in sight, and where it can in the middle.
    let first = place.saturating_sub(height / 2).min(shown.saturating_sub(height));
    let width = usize::from(inside.width);
    let metric = &sight.status.metric.name;
    let rows = app.rows.iter().skip(first).take(height).filter_map(|no| {
        let trial = sight.study.trial(*no)?;
        let mark = Mark::of(trial);
        let edit = trial.edit.as_ref();
        let gain = match &trial.outcome {
            Some(empiric_core::Outcome::Valid { gain, .. }) => gain.map(signed),
            Some(empiric_core::Outcome::Failed(_)) | None => None,
        };
        let score = trial.search_score(metric).map(number).unwrap_or_default();
        let head = format!("{:<6}{:<9}", trial.no, edit.map_or(trial.ask.operator, |e| e.operator));
        let name = clip(&clean(&outcome(trial)), 16);
        let numbers = format!("{score:>9} {:>10}  ", gain.unwrap_or_default());
        let text = edit.map_or_else(String::new, |edit| clean(&edit.hypothesis.text));
        let room = width.saturating_sub(15 + 2 + 17 + 22);
        let row = Line::from(vec![
            Span::raw(head),
            Span::styled(format!("{} {name:<17}", glyph(mark)), paint.of(colour(mark))),
            Span::raw(numbers),
            Span::styled(clip(&text.replace('\n', " "), room), paint.faint()),
        ]);
        Some(if *no == app.selected { row.style(Modifier::REVERSED) } else { row })
    });
    let rows: Vec<Line<'_>> = rows.collect();
    frame.render_widget(Paragraph::new(rows), inside);
}

/// What each arm has come to.
fn side_by_side(frame: &mut Frame<'_>, area: Rect, sight: &Sight, paint: Paint) {
    if area.height < 2 {
        return;
    }
    let inside = titled(frame, area, "arms", paint);
    let (width, baseline) = (usize::from(inside.width), sight.status.baseline.mean);
    let rows = sight.status.arms.iter().map(|arm| {
        let found = match (&arm.champion, baseline) {
            (Some(champion), Some(baseline)) => format!(
                "{:<6}{:>11} ({})",
                champion.trial,
                signed(champion.gain),
                percent(champion.gain, baseline)
            ),
            _ => "no keep yet".to_owned(),
        };
        let failed: u32 = arm.outcomes.failed.values().sum();
        let spent = format!(
            "  {} trials  {} {}  {} {failed}  CPU {}",
            arm.trials,
            glyph(Mark::Keep),
            arm.outcomes.keep,
            glyph(Mark::Failed),
            seconds(arm.cost.cpu_s)
        );
        let name = clip(&clean(&arm.name), 14);
        let room = width.saturating_sub(15 + 30);
        Line::from(vec![
            Span::raw(format!("{name:<15}")),
            Span::styled(format!("{found:<30}"), paint.of(Color::Green)),
            Span::styled(clip(&spent, room), paint.faint()),
        ])
    });
    let height = usize::from(inside.height);
    frame.render_widget(Paragraph::new(rows.take(height).collect::<Vec<_>>()), inside);
}

/// What each slot does now.
fn at_work(frame: &mut Frame<'_>, area: Rect, sight: &Sight, now: Timestamp, paint: Paint) {
    let making = sight
        .study
        .open_trials()
        .iter()
        .filter(|no| sight.study.trial(**no).is_some_and(|trial| trial.edit.is_none()));
    let making = making.count();
    let mut title = "slots".to_owned();
    if making > 0 && sight.at_work {
        title.push_str(&format!(", proposals being made: {making}"));
    }
    let inside = titled(frame, area, &title, paint);
    let rows = sight.slots.iter().map(|slot| {
        let Some(held) = sight.held.iter().find(|held| held.slot == *slot) else {
            return Line::styled(format!("{:<8} free", clean(slot)), paint.faint());
        };
        if !sight.at_work {
            return Line::styled(
                format!("{:<8} was at {} when its session was killed", clean(slot), held.trial),
                paint.of(Color::Yellow),
            );
        }
        let elapsed = now.duration_since(held.since).as_secs_f64().max(0.0);
        let why = purpose(held.purpose);
        Line::from(vec![
            Span::raw(format!("{:<8} ", clean(slot))),
            Span::styled(format!("{:<6}", held.trial), paint.strong()),
            Span::raw(format!("{why} {}  {}", held.index + 1, seconds(elapsed))),
        ])
    });
    let mut rows: Vec<Line<'_>> = rows.collect();
    let height = usize::from(inside.height);
    if rows.len() > height && height > 0 {
        let rest = rows.len() - (height - 1);
        rows.truncate(height - 1);
        rows.push(Line::styled(format!("and {rest} more"), paint.faint()));
    }
    frame.render_widget(Paragraph::new(rows), inside);
}

/// What happened, the newest at the bottom.
fn told(frame: &mut Frame<'_>, area: Rect, sight: &Sight, paint: Paint) {
    if area.height < 2 {
        return;
    }
    let inside = titled(frame, area, "events", paint);
    let (width, height) = (usize::from(inside.width), usize::from(inside.height));
    let lines = sight.feed.iter().rev().flat_map(|told| {
        let at = told.at.strftime("%H:%M:%S ").to_string();
        let text = clean(&told.text);
        let room = width.saturating_sub(at.len());
        let lines: Vec<Line<'_>> = text
            .lines()
            .map(|line| {
                let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
                let at = Span::styled(at.clone(), paint.faint());
                Line::from(vec![at, Span::raw(clip(&line, room))])
            })
            .collect();
        lines.into_iter().rev()
    });
    let mut lines: Vec<Line<'_>> = lines.take(height).collect();
    lines.reverse();
    frame.render_widget(Paragraph::new(lines), inside);
}

/// A page of lines that scrolls.
fn page(
    frame: &mut Frame<'_>,
    area: Rect,
    app: &mut App,
    title: &str,
    lines: Vec<Line<'_>>,
    paint: Paint,
) {
    let height = usize::from(area.height.saturating_sub(1));
    app.extent = [lines.len(), height];
    app.scroll = app.scroll.min(lines.len().saturating_sub(height));
    let title = if lines.len() > height {
        let last = (app.scroll + height).min(lines.len());
        format!("{title}, lines {} to {last} of {}", app.scroll + 1, lines.len())
    } else {
        title.to_owned()
    };
    let inside = titled(frame, area, &title, paint);
    let shown: Vec<Line<'_>> = lines.into_iter().skip(app.scroll).take(height).collect();
    frame.render_widget(Paragraph::new(shown), inside);
}

fn help(paint: Paint) -> Vec<Line<'static>> {
    let keys = KEYS.iter().map(|(key, what)| {
        Line::from(vec![Span::styled(format!("{key:<10}"), paint.strong()), Span::raw(*what)])
    });
    let marks = Mark::ALL.iter().map(|mark| {
        let sign = Span::styled(format!("{:<10}", glyph(*mark)), paint.of(colour(*mark)));
        Line::from(vec![sign, Span::raw(mark.name())])
    });
    let more = [
        ("─", "best confirmed level"),
        ("┈", "baseline ± 2 standard deviations of one replicate"),
        ("▲", "the selected trial"),
    ];
    let more = more.into_iter().map(|(sign, what)| Line::raw(format!("{sign:<10}{what}")));
    keys.chain([Line::default()]).chain(marks).chain(more).collect()
}

/// What is being typed, what was answered, or the keys.
fn footer(frame: &mut Frame<'_>, area: Rect, app: &App, several: bool, paint: Paint) {
    let line = match &app.asking {
        Some(Asking::Filter(text)) => {
            Line::raw(format!("/{}▏  enter keeps it, esc drops it", clean(text)))
        }
        Some(Asking::Note(text)) => {
            Line::raw(format!("note: {}▏  enter writes it, esc drops it", clean(text)))
        }
        Some(Asking::Sure(_, what)) => {
            Line::styled(format!("{what} y does it, any other key does not"), paint.strong())
        }
        None if !app.message.is_empty() => Line::raw(clean(&app.message)),
        None => match app.page {
            Page::Study if several => Line::styled(
                "j k  enter trial  a arm  l lineage  / filter  n note  p r s pause resume stop  ?",
                paint.faint(),
            ),
            Page::Study => Line::styled(
                "j k move  enter trial  l lineage  / filter  n note  p r s pause resume stop  ?",
                paint.faint(),
            ),
            Page::Trial(_) | Page::Lineage | Page::Help => {
                Line::styled("j k scroll  esc back  ? keys  q quit", paint.faint())
            }
        },
    };
    frame.render_widget(Paragraph::new(line), area);
}
