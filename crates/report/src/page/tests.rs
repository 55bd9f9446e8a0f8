//! The page of whole studies.

mod story;

use empiric_core::{Event, Outcome, Verdict};

use super::{html, svg::Scale, text};
use story::{DIFF, Story, facts, self_reported, task};

fn page(story: &Story) -> String {
    html(&story.study, &|_| Some(DIFF.to_owned()), &facts())
}

/// What lies between `from` and the next `to`.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let start = page.find(from).unwrap_or_else(|| panic!("no {from}"));
    let end = page[start..].find(to).unwrap_or_else(|| panic!("no {to} after {from}"));
    &page[start..start + end]
}

#[test]
fn sixty_trials() {
    let story = Story::sixty();
    let page = page(&story);
    if let Some(path) = option_env!("EMPIRIC_REPORT_SAMPLE") {
        std::fs::write(path, &page).unwrap();
    }
    println!("{}", page.len());
}
#[test]
fn tmp_many() {
    let story = Story::many(5000);
    let t = std::time::Instant::now();
    let page = page(&story);
    println!("{:?} {}", t.elapsed(), page.len());
    std::fs::write("/tmp/report-many.html", &page).unwrap();
    let _ = (task(), self_reported(), text::esc(""), Scale::new(0.,1.,[0.,1.]), Event::Noted{by:String::new(),text:String::new()}, Outcome::Valid{verdict:Verdict::Keep,reason:String::new(),gain:None,gain_interval:None}, between("a b","a","b"));
}
