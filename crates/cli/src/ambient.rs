//! The one place that reads the process's surroundings: environment variables, the clock, the host's name.

use std::{env, ffi::OsString, sync::Arc};

use empiric_ledger::Clock;
use jiff::Timestamp;

/// Every environment variable that Empiric reads: name and meaning. The help text is made of it.
pub(crate) const VARIABLES: [(&str, &str); 9] = [
    (
        "EMPIRIC_CACHE",
        "directory for environments and prepared data [default: $XDG_CACHE_HOME/empiric]",
    ),
    ("XDG_CACHE_HOME", "base of the default cache directory [default: $HOME/.cache]"),
    ("HOME", "the home directory"),
    ("PATH", "where programs such as python, uv and git are looked up"),
    ("USER", "whose name goes with notes and requests"),
    (
        "EMPIRIC_WEBHOOK",
        "an address that news of a running study is posted to; kept out of argv, ledger and logs",
    ),
    ("MLFLOW_TRACKING_TOKEN", "the bearer token of the tracking server of `export --mlflow`"),
    ("TERM", "the kind of terminal; `dumb` is not drawn on"),
    ("NO_COLOR", "when set, nothing is coloured"),
];

/// The environment is read here and nowhere else.
fn read(name: &str) -> Option<OsString> {
    debug_assert!(
        VARIABLES.iter().any(|(known, _)| *known == name),
        "{name} is not in the registry"
    );
    env::var_os(name).filter(|value| !value.is_empty())
}

/// A key, by the variable that the user or the list of providers names for it.
pub(crate) fn secret(name: &str) -> Option<String> {
    env::var_os(name)?.into_string().ok().filter(|value| !value.is_empty())
}

/// Where a test wants this process to end as `kill -9` would; not in what is built for use.
#[cfg(debug_assertions)]
pub(crate) fn crash_at() -> Option<empiric_doors::Point> {
    env::var_os("EMPIRIC_CRASH_AT")?.to_str()?.parse().ok()
}

/// What the tasks crate needs to know of this machine.
pub(crate) fn host() -> empiric_tasks::Host {
    empiric_tasks::Host::of(read)
}

/// Who asks.
pub(crate) fn user() -> String {
    read("USER").map_or_else(|| "user".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Whether colour is wanted.
pub(crate) fn colour() -> bool {
    read("NO_COLOR").is_none()
}

/// Whether the terminal takes no commands to draw with.
pub(crate) fn is_dumb_terminal() -> bool {
    read("TERM").is_none_or(|term| term == "dumb")
}

/// An address that news is posted to; it may hold a token.
pub(crate) fn webhook() -> Option<String> {
    read("EMPIRIC_WEBHOOK")?.into_string().ok()
}

/// The bearer token of an MLflow tracking server.
pub(crate) fn mlflow_token() -> Option<String> {
    read("MLFLOW_TRACKING_TOKEN")?.into_string().ok()
}

/// The time.
pub(crate) fn clock() -> Clock {
    Arc::new(Timestamp::now)
}

/// Programs that want to run, by processor, over the last minute; 0 where the system does not say.
pub(crate) fn load() -> f64 {
    let text = fs_err::read_to_string("/proc/loadavg").unwrap_or_default();
    let waiting: f64 =
        text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    waiting / processors as f64
}

/// This machine's name.
pub(crate) fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// GPUs of this machine, by the number of their device file.
pub(crate) fn gpus() -> Vec<u32> {
    let entries = fs_err::read_dir("/dev")
        .map(|entries| entries.flatten().collect::<Vec<_>>())
        .unwrap_or_default();
    let mut gpus: Vec<u32> = entries
        .iter()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("nvidia")?.parse().ok())
        .collect();
    gpus.sort_unstable();
    gpus
}
