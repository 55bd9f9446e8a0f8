//! What this machine offers, with the remedy for what it lacks.

use empiric_sandbox::{Level, probe};
use serde::Serialize;

use crate::{ambient, args::Json, exit::Failure, out};

#[derive(Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
}

pub(crate) fn doctor(args: &Json) -> Result<(), Failure> {
    let found = probe();
    let mut findings = vec![
        match &found.bwrap {
            Ok(()) => good("sandbox bwrap", "namespaces work"),
            Err(why) => {
                bad("sandbox bwrap", why, "apt-get install bubblewrap, and allow user namespaces")
            }
        },
        match &found.landlock {
            Ok(abi) => good("sandbox landlock", &format!("version {abi}")),
            Err(why) => bad("sandbox landlock", why, "a kernel with Landlock in its lsm list"),
        },
    ];
    let kind = found.cgroup.accounting();
    findings.push(match kind {
        empiric_sandbox::Accounting::Watchdog => {
            let why = format!("watchdog only: {}", found.cgroup_reasons.join("; "));
            bad(
                "memory limits",
                &why,
                "run as root, or under systemd-run --user --scope -p Delegate=yes",
            )
        }
        empiric_sandbox::Accounting::CgroupV2 | empiric_sandbox::Accounting::CgroupV1 => {
            good("memory limits", kind.as_str())
        }
    });
    let host = ambient::host();
    for (program, remedy) in [
        ("python3", "apt-get install python3 python3-venv, for tasks in Python"),
        ("git", "apt-get install git, for tasks whose recipe is a git repository"),
    ] {
        let at = std::env::split_paths(&host.path)
            .map(|dir| dir.join(program))
            .find(|path| path.is_file());
        findings.push(match at {
            Some(path) => good(program, &path.display().to_string()),
            None => bad(program, "not found on PATH", remedy),
        });
    }
    let level = if found.bwrap.is_ok() { Level::Bwrap } else { Level::Landlock };
    let exe = std::env::current_exe()?;
    let (mut lacking, mut any) = (Vec::new(), false);
    for agent in empiric_agents::installed(&host.path, &exe, level, &found.cgroup) {
        match (agent.program, agent.version) {
            (Some(program), Some(Ok(version))) => {
                any = true;
                findings.push(good(
                    "agent",
                    &format!("{} {version} at {}", agent.name, program.display()),
                ));
            }
            (Some(program), Some(Err(why))) => {
                let why = format!("{} at {}: {why}", agent.name, program.display());
                findings.push(bad("agent", &why, "only an arm of that name needs it"));
            }
            (None, _) | (_, None) => lacking.push(agent.name),
        }
    }
    if !lacking.is_empty() {
        let other = if any { "no other" } else { "none" };
        let found = format!(
            "{other} of {} on PATH; only an arm of that name needs one",
            lacking.join(", ")
        );
        findings.push(good("agents", &found));
    }
    let gpus = ambient::gpus();
    let gpus = if gpus.is_empty() {
        "none; tasks that ask for none are not affected".to_owned()
    } else {
        format!("{gpus:?}")
    };
    findings.push(good("GPUs", &gpus));
    findings.push(good(
        "cores",
        &std::thread::available_parallelism().map_or(1, usize::from).to_string(),
    ));
    findings.push(good("cache", &host.cache.display().to_string()));
    let ok = found.best().is_some();
    if args.json {
        return Ok(out::json(&serde_json::json!({
            "ok": ok, "level": found.best().map(empiric_sandbox::Level::as_str), "findings": findings,
        }))?);
    }
    for finding in &findings {
        let mark = if finding.ok { "ok  " } else { "lack" };
        let remedy = finding.remedy.map(|remedy| format!("  ({remedy})")).unwrap_or_default();
        out::line(&format!("{mark}  {:<17} {}{remedy}", finding.what, finding.found))?;
    }
    match found.best() {
        Some(level) => out::line(&format!("studies here run at sandbox level {level}"))?,
        None => out::line("studies here need --sandbox none")?,
    }
    Ok(())
}

fn good(what: &'static str, found: &str) -> Finding {
    Finding { what, ok: true, found: found.to_owned(), remedy: None }
}

fn bad(what: &'static str, found: &str, remedy: &'static str) -> Finding {
    Finding { what, ok: false, found: found.to_owned(), remedy: Some(remedy) }
}
