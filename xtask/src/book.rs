//! The book in `docs/`: pages that the program makes of itself, screenshots of a real study, and mdBook over all of it.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::bail;

use crate::{
    machine,
    tools::{build, command, must, root, say, works},
    web,
};

/// Pages that the program prints; a test of the program holds them to be current.
const PAGES: [(&str, &[&str]); 3] = [
    ("cli.md", &["completions", "markdown"]),
    ("task.md", &["schema", "task", "--md"]),
    ("result.md", &["schema", "result", "--md"]),
];

/// Makes the pages, with `shots` the screenshots, and the book where mdBook is installed.
pub(crate) fn run(shots: bool) -> anyhow::Result<ExitCode> {
    let exe = build("empiric-cli", "empiric", false)?;
    let docs = root().join("docs");
    for (page, words) in PAGES {
        let printed = command(&exe, words).stderr(Stdio::inherit()).output()?;
        if !printed.status.success() {
            bail!("`empiric {}` ended with {}", words.join(" "), printed.status);
        }
        fs_err::write(docs.join(page), printed.stdout)?;
    }
    if shots {
        take(&docs.join("img"))?;
    }
    if !works("mdbook", &["--version"]) {
        say("docs/ is current; for the book itself: cargo install mdbook --locked");
        return Ok(ExitCode::SUCCESS);
    }
    must(command("mdbook", ["build"]).arg(&docs))?;
    say("the book is in target/book/index.html");
    Ok(ExitCode::SUCCESS)
}

/// Runs a study of `tasks/golf` and pictures it: on the terminal at its end, in a browser, and its report.
fn take(img: &Path) -> anyhow::Result<()> {
    machine::ready()?;
    web::build_page()?;
    machine::browser()?;
    let exe = build("empiric-cli", "empiric", false)?;
    fs_err::create_dir_all(img)?;
    let study = root().join("target/book-study");
    let flags = ["--slots", "2", "--trials", "60", "--seed", "2"];
    must(command(&exe, ["run", "tasks/golf", "--study"]).arg(&study).args(flags))?;
    fs_err::write(img.join("watch.txt"), terminal(&exe, &study)?)?;
    must(command("node", ["web/tests/shots.mjs"]).arg(&exe).arg(&study).arg(img))?;
    let page = study.join("report.html");
    must(command(&exe, ["report"]).arg(&study).args(["--html", "-o"]).arg(&page))?;
    let shot = format!("--screenshot={}", img.join("report.png").display());
    let flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--window-size=1000,1400",
    ];
    must(Command::new("chromium").args(flags).arg(shot).arg(format!("file://{}", page.display())))
}

/// What `empiric watch` draws at 100 columns and 32 rows.
fn terminal(exe: &Path, study: &Path) -> anyhow::Result<Vec<u8>> {
    let name = format!("empiric-book-{}", std::process::id());
    let tmux = |words: &[&str]| {
        let mut tmux = Command::new("tmux");
        tmux.args(["-L", &name]).args(words);
        tmux
    };
    let watch: [PathBuf; 2] = [exe.to_owned(), study.to_owned()];
    let [exe, study] = watch.map(|path| path.display().to_string());
    must(
        tmux(&["new-session", "-d", "-x", "100", "-y", "32", &exe, "watch", &study])
            .env("LANG", "C.UTF-8"),
    )?;
    let mut drawn = Vec::new();
    for _ in 0..100 {
        sleep(Duration::from_millis(100));
        drawn = tmux(&["capture-pane", "-p"]).output()?.stdout;
        if String::from_utf8_lossy(&drawn).contains("slots") {
            break;
        }
    }
    must(&mut tmux(&["kill-server"]))?;
    if drawn.is_empty() {
        bail!("nothing was drawn");
    }
    Ok(drawn)
}
