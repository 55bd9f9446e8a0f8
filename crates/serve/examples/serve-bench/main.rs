//! What serving a large study costs: makes a ledger of many trials, serves it in a process of its own, asks every
//! endpoint many times, and prints the 50th and 95th percentile of the answers and the server's memory; with a script that
//! looks at an address in a browser, also when there is something to see.
//!
//! `serve-bench [--trials N] [--asks N] [--keep DIR] [--paint SCRIPT]`; it fails when an aim is missed.

#![expect(clippy::print_stdout, reason = "a program of its own, whose output is data")]

mod client;
mod made;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use empiric_serve::{Options, Server, Source, Token};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::client::Client;

/// What is aimed at: milliseconds at the 95th percentile, seconds to the first paint, bytes.
const P95: f64 = 50.0;
const PAINT: f64 = 1.0;
const MEMORY: u64 = 200 << 20;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<ExitCode, Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, dir] = &words[..]
        && verb == "serve"
    {
        serve(Path::new(dir))?;
        return Ok(ExitCode::SUCCESS);
    }
    let number = |name: &str, usual: usize| -> Result<usize, Failed> {
        match words.iter().position(|word| word == name) {
            Some(place) => Ok(words.get(place + 1).ok_or("a number is missing")?.parse()?),
            None => Ok(usual),
        }
    };
    let (trials, asks) = (number("--trials", 100_000)?, number("--asks", 60)?);
    let temporary = tempfile::tempdir()?;
    let word =
        |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let dir = word("--keep").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let study = dir.join("study");
    let began = Instant::now();
    if !study.join("ledger.db").exists() {
        made::study(&study, u32::try_from(trials)?)?;
    }
    let size = fs_err::metadata(study.join("ledger.db"))?.len() >> 20;
    println!(
        "{trials} trials, {size} MiB of ledger, made in {:.0} s",
        began.elapsed().as_secs_f64()
    );
    let mut missed = measure(&dir, asks)?;
    if let Some(script) = word("--paint") {
        missed.extend(paint(&dir, script)?);
    }
    for miss in &missed {
        println!("missed: {miss}");
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn serve(dir: &Path) -> Result<(), Failed> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let server = Server::bind(Options {
            source: Source::at(dir)?,
            bind: [127, 0, 0, 1].into(),
            port: 0,
            outside: None,
            token: Token::random()?,
            user: "bench".to_owned(),
            clock: Arc::new(Timestamp::now),
        })
        .await?;
        println!("{}", server.url());
        std::io::stdout().flush()?;
        server.run(CancellationToken::new()).await?;
        Ok(())
    })
}

/// A server that ends with this.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A server that has just started, and its address.
fn started(dir: &Path) -> Result<(Served, String), Failed> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("serve")
        .arg(dir)
        .stdout(Stdio::piped())
        .spawn()?;
    let out = child.stdout.take().ok_or("no standard output")?;
    let served = Served(child);
    let mut url = String::new();
    BufReader::new(out).read_line(&mut url)?;
    Ok((served, url.trim().to_owned()))
}

/// When a browser has something to show of the study: of a server that has just started, and again. `script`, run by Node, is told the
/// address and the page, and prints milliseconds to the first paint and to the curve.
fn paint(dir: &Path, script: &str) -> Result<Option<String>, Failed> {
    let (_served, url) = started(dir)?;
    let mut command = Command::new("node");
    let said = command.args([script, &url, "/s/study"]).stderr(Stdio::inherit()).output()?;
    if !said.status.success() {
        return Err(format!("`node {script}` ended with {}", said.status).into());
    }
    let told: serde_json::Value = serde_json::from_slice(&said.stdout)?;
    let ms = |looked: &str, what: &str| told[looked][what].as_f64().ok_or("no such time");
    println!();
    for looked in ["cold", "warm"] {
        let (first, curve) = (ms(looked, "first")?, ms(looked, "curve")?);
        println!(
            "in a browser, {looked}: {first:.0} ms to the first paint, {curve:.0} ms to the curve   (aim {:.0})",
            1000.0 * PAINT
        );
    }
    let first = ms("cold", "first")?;
    Ok((first > 1000.0 * PAINT).then(|| format!("{first:.0} ms to the first paint")))
}

fn measure(dir: &Path, asks: usize) -> Result<Vec<String>, Failed> {
    let (served, url) = started(dir)?;
    let (origin, token) = url.split_once("/?token=").ok_or("no URL")?;
    let mut client = Client::new(origin.trim_start_matches("http://"), token)?;

    // What the page asks before it can be seen, of a server that has just started.
    let began = Instant::now();
    for path in ["", "/curve", "/slots?limit=200"] {
        client.get(&format!("/api/studies/study{path}"))?;
    }
    let paint = began.elapsed().as_secs_f64();
    println!(
        "{:<52} {:>9.0} ms   (aim {:.0})",
        "the first page's answers, cold",
        1000.0 * paint,
        1000.0 * PAINT
    );
    let began = Instant::now();
    client.get("/api/studies/study/failures")?;
    println!(
        "{:<52} {:>9.0} ms",
        "the first look at failures",
        1000.0 * began.elapsed().as_secs_f64()
    );

    println!("\n{:<52} {:>9} {:>9} {:>9}", "endpoint", "p50 ms", "p95 ms", "kB");
    let mut missed = Vec::new();
    for (name, paths) in endpoints(&mut client, asks)? {
        let mut times = Vec::new();
        let mut bytes = 0;
        for path in &paths {
            let began = Instant::now();
            bytes = bytes.max(client.get(path)?.len());
            times.push(began.elapsed());
        }
        times.sort_unstable();
        let at = |share: f64| ms(times[((times.len() - 1) as f64 * share).round() as usize]);
        println!("{name:<52} {:>9.1} {:>9.1} {:>9.1}", at(0.5), at(0.95), bytes as f64 / 1000.0);
        if at(0.95) > P95 {
            missed.push(format!("{name}: {:.1} ms at p95", at(0.95)));
        }
    }
    let (now, peak) = memory(served.0.id())?;
    println!(
        "\nmemory of the server: {} MiB now, {} MiB at most   (aim {})",
        now >> 20,
        peak >> 20,
        MEMORY >> 20
    );
    if peak > MEMORY {
        missed.push(format!("{} MiB of memory", peak >> 20));
    }
    if paint > PAINT {
        missed.push(format!("{paint:.1} s to the first page"));
    }
    Ok(missed)
}

fn ms(time: Duration) -> f64 {
    1000.0 * time.as_secs_f64()
}

/// Every endpoint with the addresses that it is asked at.
fn endpoints(client: &mut Client, asks: usize) -> Result<Vec<(String, Vec<String>)>, Failed> {
    let study: serde_json::Value = serde_json::from_slice(&client.get("/api/studies/study")?)?;
    let last = study["trials"].as_u64().ok_or("no trials")?;
    let (seq, champion) =
        (study["seq"].as_u64().ok_or("no events")?, study["champion"]["trial"].clone());
    let champion = champion.as_str().ok_or("no champion")?.to_owned();
    let spread = |k: usize| 1 + (k as u64 * 7919) % last;
    let detail: serde_json::Value =
        serde_json::from_slice(&client.get(&format!("/api/studies/study/trials/{champion}"))?)?;
    let one = &detail["replicates"][0];
    let replicate = one["id"].as_str().ok_or("no replicate")?.to_owned();
    let log = one["units"][0]["log"].as_str().ok_or("no log")?.to_owned();
    let listed: serde_json::Value =
        serde_json::from_slice(&client.get("/api/studies/study/failures")?)?;
    let hash = listed["signatures"][0]["hash"].as_str().ok_or("no signature")?.to_owned();
    let posted =
        client.post("/api/studies/study/requests", r#"{"ask":{"kind":"note","text":"x"}}"#)?;
    let posted: serde_json::Value = serde_json::from_slice(&posted)?;
    let request = posted["request"].as_str().ok_or("no request")?.to_owned();
    let many = |name: &str, path: &dyn Fn(usize) -> String| {
        let paths = (0..asks).map(|k| format!("/api/studies/study{}", path(k))).collect();
        (name.to_owned(), paths)
    };
    let mut all = vec![
        ("studies".to_owned(), vec!["/api/studies".to_owned(); asks]),
        ("interface".to_owned(), vec!["/api/openapi.json".to_owned(); asks]),
        many("study", &|_| String::new()),
        many("curve, whole, each time anew", &|k| format!("/curve?points={}", 2000 + k)),
        many("curve, a part", &|k| format!("/curve?from={0}&to={1}", spread(k), spread(k) + 800)),
        many("curve, of an arm", &|_| "/curve?arm=tuner".to_owned()),
        many("trials, newest", &|_| "/trials".to_owned()),
        many("trials, deep", &|k| format!("/trials?after=t{}&limit=100", spread(k))),
        many("trials, by score", &|_| "/trials?order=score&limit=100".to_owned()),
        many("trials, kept by gain", &|_| "/trials?order=gain&mark=keep".to_owned()),
        many("trials, of one cause", &|_| "/trials?cause=exception&limit=500".to_owned()),
        many("trials, of one signature", &|_| format!("/trials?signature={hash}")),
        many("trial", &|k| format!("/trials/t{}", spread(k))),
        many("trial, baseline", &|_| "/trials/baseline".to_owned()),
        many("trial, champion", &|_| "/trials/champion".to_owned()),
        many("diff", &|k| {
            format!("/trials/t{}/diff?against=baseline", 1 + spread(k) / 20 * 20 % last)
        }),
        many("replicates of the baseline", &|_| "/trials/baseline/replicates?limit=200".to_owned()),
        many("log", &|_| format!("/replicates/{replicate}/logs/{log}")),
        many("calls", &|k| format!("/trials/t{}/calls", 50 * (spread(k) / 50).max(1))),
        many("compare", &|k| format!("/compare?a=baseline&b=t{}", 1 + spread(k) / 20 * 20 % last)),
        many("graph around the champion", &|_| "/graph".to_owned()),
        many("graph around the baseline", &|_| {
            "/graph?around=baseline&depth=8&limit=600".to_owned()
        }),
        many("graph around a trial", &|k| format!("/graph?around=t{}&depth=3", spread(k))),
        many("failures", &|_| "/failures".to_owned()),
        many("insights", &|_| "/insights".to_owned()),
        many("slots", &|k| format!("/slots?after={}&limit=300", 1 + (k as u64 * 104_729) % seq)),
        many("events, newest", &|_| "/events?newest=true".to_owned()),
        many("events, deep", &|k| {
            format!("/events?after={}&limit=500", (k as u64 * 104_729) % seq)
        }),
        many("events of a trial", &|k| format!("/events?trial=t{}", spread(k))),
        many("notes", &|_| "/notes".to_owned()),
        many("request", &|_| format!("/requests/{request}")),
    ];
    all.retain(|(_, paths): &(String, Vec<String>)| !paths.is_empty());
    Ok(all)
}

/// Resident bytes of a process, now and at most.
fn memory(pid: u32) -> Result<(u64, u64), Failed> {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> Result<u64, Failed> {
        let line = status.lines().find(|line| line.starts_with(name)).ok_or("no such line")?;
        let kib: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
        Ok(kib << 10)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}
