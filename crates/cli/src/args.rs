//! The words of the command line.

use std::{net::IpAddr, path::PathBuf};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser},
};

use crate::exit;

/// Autonomous, auditable ML research: edits are proposed, an evaluator that no edit can touch measures them, and only
/// what holds up on fresh seeds is kept.
#[derive(Debug, Parser)]
#[command(name = "empiric", version, about, after_help = exit::help(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Write a starter task.toml for the code in a directory
    Init(Init),
    /// Measure a task's noise and try its evaluator before a night is spent on it
    Check(Check),
    /// Run a study, or go on with one: the same command resumes
    Run(Box<Run>),
    /// Say where a study stands
    Status(Study),
    /// Watch a study on the terminal: curve, slots, events, trials, lineage
    Watch(Watch),
    /// List a study's trials
    Trials(Trials),
    /// Show one trial: hypothesis, edit, replicates, outcome
    Show(Show),
    /// Print what changed between two trials, as a patch
    Diff(Diff),
    /// Draw the graph of trials
    Lineage(Study),
    /// Write what was found and how, as one self-contained page, as Markdown or as JSON
    Report(Report),
    /// Recompute the hash chain, every commit and blob, and every decision
    Verify(Verify),
    /// Take the champion apart: what does not earn its place goes
    Ablate(Ablate),
    /// Take the champion home as a patch or a branch, or the whole study to other programs
    Export(Export),
    /// Write something down in a study's ledger
    Note(Note),
    /// Add to a study's library of ideas, list it, drop from it
    Idea(crate::idea::Idea),
    /// Let a running study start no new trials
    Pause(Study),
    /// Let a paused study go on
    Resume(Study),
    /// Let a running study finish what runs, and stop
    Stop(Study),
    /// Set a study's caps; those that are not named stay
    Budget(Caps),
    /// Have every new trial of a trial's arm start from it, until the arm keeps one
    Pin(One),
    /// Let policies choose again where new trials start
    Unpin(One),
    /// Measure a trial that ended undecided once more, as a trial of its own
    Requeue(One),
    /// Hand in a trial made by hand or by any agent
    Submit(Submit),
    /// Speak the Model Context Protocol on standard input and output, for coding agents
    Mcp(Mcp),
    /// Show studies in a browser, and over REST: on this machine alone, to whoever knows the printed URL
    Serve(Serve),
    /// Say what this machine offers: sandbox, limits, GPUs, programs
    Doctor(Json),
    /// Print a published JSON Schema
    Schema(Schema),
    /// Print a shell's completions, the manual page, or a reference of every verb
    Completions(Completions),
}

#[derive(Debug, Args)]
pub(crate) struct Json {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Study {
    /// The study's directory
    pub(crate) study: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A study, and a trial of it.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The study's directory
    pub(crate) study: PathBuf,
    /// The trial, such as t17, or `champion`, or `baseline`
    pub(crate) trial: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("caps").required(true).multiple(true))]
pub(crate) struct Caps {
    /// The study's directory
    pub(crate) study: PathBuf,
    /// Trials in each arm
    #[arg(long, value_name = "N", group = "caps", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) trials: Option<u32>,
    /// Caps as `run --budget` takes them: 2h, 10cpuh, 4gpuh, 5usd, 200ktok, 300calls, separated by commas
    #[arg(long, value_name = "CAPS", group = "caps")]
    pub(crate) budget: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The directory that holds the code
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Write into its AGENTS.md, instead, how coding agents take part in the study of it
    #[arg(long)]
    pub(crate) agents: bool,
    /// The study they take part in [default: studies/<name of the directory>]
    #[arg(long, value_name = "DIR", requires = "agents")]
    pub(crate) study: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is studied: a task directory, or the quick mode's words.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    /// A directory with a task.toml, or the file itself; with --eval, the directory that holds the code
    #[arg(default_value = ".")]
    pub(crate) task: PathBuf,
    /// Quick mode: the command that trains and prints the metric (`METRIC name=value`, `name: value` or `name=value`)
    #[arg(long, value_name = "COMMAND", requires_all = ["edit", "metric"])]
    pub(crate) eval: Option<String>,
    /// Quick mode: files that may be edited
    #[arg(long, value_name = "GLOB", requires = "eval")]
    pub(crate) edit: Vec<String>,
    /// Quick mode: the metric and its direction, such as loss:min
    #[arg(long, value_name = "NAME:min|max", requires = "eval")]
    pub(crate) metric: Option<String>,
    /// Quick mode: regular expression with one group, for a metric printed in another form
    #[arg(long, value_name = "REGEX", requires = "eval")]
    pub(crate) metric_pattern: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Machine {
    /// Replicates at one time [default: half the CPU cores, at least 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) slots: Option<u16>,
    /// How strongly recipe and evaluator are held apart from the machine; `none` is recorded as such
    #[arg(long, value_name = "LEVEL", default_value = "auto")]
    pub(crate) sandbox: Sandbox,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sandbox {
    /// The strongest level this machine offers, never none
    Auto,
    /// Namespaces by bubblewrap
    Bwrap,
    /// Landlock and seccomp
    Landlock,
    /// Nothing: only for code you would run anyway
    None,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    #[command(flatten)]
    pub(crate) machine: Machine,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The error over a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ErrorKind {
    /// False discovery rate
    Fdr,
    /// Family-wise error rate
    Fwer,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) task: TaskArgs,
    /// The study's directory; an existing one is gone on with [default: studies/<task>]
    #[arg(long, value_name = "DIR")]
    pub(crate) study: Option<PathBuf>,
    /// Trials to make in each arm; the baseline and replicates are not counted
    #[arg(long, value_name = "N")]
    pub(crate) trials: Option<u32>,
    /// Caps on the whole study, of which each arm (of a cap on models, each that asks any) may spend an equal part, separated
    /// by commas: wall time (2h, 90m, 45s), CPU time (10cpuh, 600cpus), GPU time (4gpuh); at a cap on models (5usd, 200ktok,
    /// 300calls) the study pauses, and the same command with more goes on
    #[arg(long, value_name = "CAPS")]
    pub(crate) budget: Option<String>,
    #[command(flatten)]
    pub(crate) models: crate::models::ModelArgs,
    #[command(flatten)]
    pub(crate) machine: Machine,
    /// Everything random derives from it; fixed when the study opens
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// A way of searching, with a policy of its own after `=`; more than one are compared under equal budgets
    #[arg(long = "arm", value_name = "NAME[=POLICY]", value_parser = arm, long_help = arms_help(), default_value = DEFAULT_ARM)]
    pub(crate) arms: Vec<Armed>,
    /// What is tried next, in arms that name no policy; fixed when the study opens
    #[arg(long, value_name = "NAME", value_parser = policies())]
    pub(crate) policy: Option<String>,
    /// End an arm after this many trials in a row without a keep
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) drought: Option<u32>,
    /// End when a champion's confirmed value of the metric is this good
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    pub(crate) target: Option<f64>,
    /// What is held at the level over the whole study: the share of false keeps among keeps (fdr), or the probability of
    /// any (fwer); fixed when the study opens
    #[arg(long, value_name = "KIND", default_value = "fdr")]
    pub(crate) error: ErrorKind,
    /// The level; fixed when the study opens
    #[arg(long, value_name = "P", default_value_t = 0.05)]
    pub(crate) level: f64,
    /// Begin without trying the quick canaries of `empiric check` first
    #[arg(long)]
    pub(crate) no_check: bool,
    /// Also show the study in a browser while it runs; prints the URL
    #[arg(long)]
    pub(crate) serve: bool,
    /// Run a command on news (keep, paused, stopped, finished, broken), which it gets as JSON on standard input; an address
    /// to post them to is read from EMPIRIC_WEBHOOK
    #[arg(long, value_name = "COMMAND")]
    pub(crate) notify: Vec<String>,
    /// Stream events as JSON lines, ending with a study_summary
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arm of a study that names none.
pub(crate) const DEFAULT_ARM: &str = empiric_agents::PROPOSERS[0].name;

/// An arm as it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Armed {
    /// As it was written.
    pub(crate) name: String,
    /// What makes its edits.
    pub(crate) proposer: &'static empiric_agents::Entry,
    /// Its policy, where it names one.
    pub(crate) policy: Option<String>,
}

fn arm(text: &str) -> Result<Armed, String> {
    let (name, policy) =
        text.split_once('=').map_or((text, None), |(name, policy)| (name, Some(policy)));
    let proposers = empiric_agents::PROPOSERS.map(|entry| entry.name).join(", ");
    let proposer = empiric_agents::entry(name)
        .ok_or_else(|| format!("`{name}` is no arm; known are {proposers}"))?;
    if let Some(policy) = policy.filter(|policy| !empiric_search::names().contains(policy)) {
        return Err(empiric_search::Unknown(policy.to_owned()).to_string());
    }
    Ok(Armed { name: text.to_owned(), proposer, policy: policy.map(str::to_owned) })
}

fn arms_help() -> String {
    let mut help = "A way of searching, with a policy of its own after `=`: `--arm tuner=greedy`. More than one are run side \
                    by side under equal budgets and compared; the error level is shared out among them. Fixed when the \
                    study opens.\n\nKnown are:"
        .to_owned();
    for entry in &empiric_agents::PROPOSERS {
        help.push_str(&format!("\n- {}: {}", entry.name, entry.about));
    }
    help
}

/// The policies, each with its line.
fn policies() -> PossibleValuesParser {
    let value = |entry: &empiric_search::Entry| PossibleValue::new(entry.name).help(entry.about);
    PossibleValuesParser::new(empiric_search::POLICIES.iter().map(value))
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The study's directory
    pub(crate) study: PathBuf,
    /// Also make every proposal of a model again from its recorded answers, without a network, and compare
    #[arg(long)]
    pub(crate) replay: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The study's directory
    pub(crate) study: PathBuf,
    /// Print what happens line by line, as where there is no terminal
    #[arg(long, conflicts_with = "json")]
    pub(crate) plain: bool,
    /// Stream events as JSON lines from the first on, ending with a study_summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Trials {
    /// The study's directory
    pub(crate) study: PathBuf,
    /// Only trials with this verdict or failure cause
    #[arg(long, value_name = "OUTCOME")]
    pub(crate) outcome: Option<String>,
    /// Only trials that no other one beats on all objectives of the task
    #[arg(long, conflicts_with = "outcome")]
    pub(crate) pareto: bool,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The study's directory
    pub(crate) study: PathBuf,
    /// The trial, such as t17, or `champion`; or the request that handed it in
    pub(crate) trial: String,
    /// Also print what its units printed
    #[arg(long)]
    pub(crate) logs: bool,
    /// Print this file of its tree instead; `.` lists the files
    #[arg(long, value_name = "PATH", conflicts_with_all = ["logs", "wait"])]
    pub(crate) file: Option<String>,
    /// Wait until it has ended
    #[arg(long)]
    pub(crate) wait: bool,
    /// Also print its conversation with a model
    #[arg(long)]
    pub(crate) calls: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The study's directory
    pub(crate) study: PathBuf,
    /// The older trial; with one trial only, that trial is compared with its parent
    pub(crate) a: String,
    /// The newer trial
    pub(crate) b: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The study's directory
    pub(crate) study: PathBuf,
    /// As a page that needs nothing else [default]
    #[arg(long, conflicts_with_all = ["md", "json"])]
    pub(crate) html: bool,
    /// As Markdown
    #[arg(long, conflicts_with = "json")]
    pub(crate) md: bool,
    /// Where to write it; `-` is standard output [default: STUDY/report.html or STUDY/report.md]
    #[arg(long, short, value_name = "FILE", conflicts_with = "json")]
    pub(crate) output: Option<PathBuf>,
    /// Print the whole report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("to").required(true))]
pub(crate) struct Export {
    /// The study's directory
    pub(crate) study: PathBuf,
    /// Which trial
    #[arg(long, value_name = "TRIAL", default_value = "champion")]
    pub(crate) trial: String,
    /// The champion without what `empiric ablate` found not to earn its place, as one change
    #[arg(long, conflicts_with = "trial")]
    pub(crate) simplified: bool,
    /// Write a patch to this file; `-` is standard output
    #[arg(long, value_name = "FILE", group = "to")]
    pub(crate) patch: Option<PathBuf>,
    /// Make a branch of this name in the repository that holds the recipe
    #[arg(long, value_name = "NAME", group = "to")]
    pub(crate) branch: Option<String>,
    /// Replace the branch if it exists
    #[arg(long, requires = "branch")]
    pub(crate) force: bool,
    /// Write every trial, replicate, unit and measurement as JSON Lines into this directory
    #[arg(long, value_name = "DIR", group = "to")]
    pub(crate) jsonl: Option<PathBuf>,
    /// Write the same tables as Parquet files into this directory
    #[arg(long, value_name = "DIR", group = "to")]
    pub(crate) parquet: Option<PathBuf>,
    /// Log the study and its trials as runs of the MLflow tracking server at this address
    #[arg(long, value_name = "URL", group = "to")]
    pub(crate) mlflow: Option<String>,
    /// Send trials, replicates and model calls as spans to the OpenTelemetry collector at this address (OTLP/HTTP)
    #[arg(long, value_name = "URL", group = "to")]
    pub(crate) otlp: Option<String>,
    /// Write TensorBoard event files into this directory, one run per arm
    #[arg(long, value_name = "DIR", group = "to")]
    pub(crate) tensorboard: Option<PathBuf>,
    /// Write report, ledger, tables and the champion's patch into this directory, with an RO-Crate manifest and hashes
    #[arg(long, value_name = "DIR", group = "to")]
    pub(crate) ro_crate: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ablate {
    /// The study's directory
    pub(crate) study: PathBuf,
    /// How much worse the simpler champion may be: a number in the metric's unit, or a share of the champion's gain such as
    /// 10% [default: 10%]
    #[arg(long, value_name = "MARGIN")]
    pub(crate) margin: Option<String>,
    /// Stream events as JSON lines, ending with an ablation_summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Note {
    /// The study's directory
    pub(crate) study: PathBuf,
    /// What to write down
    pub(crate) text: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("edit").required(true))]
pub(crate) struct Submit {
    /// The study's directory
    pub(crate) study: PathBuf,
    /// A unified diff against the parent; `-` is standard input
    #[arg(long, value_name = "FILE", group = "edit")]
    pub(crate) patch: Option<PathBuf>,
    /// Search-and-replace blocks against the parent, as models write them; `-` is standard input
    #[arg(long, value_name = "FILE", group = "edit")]
    pub(crate) edits: Option<PathBuf>,
    /// A directory that holds the recipe as edited
    #[arg(long, value_name = "DIR", group = "edit")]
    pub(crate) dir: Option<PathBuf>,
    /// Why it is worth measuring
    #[arg(long, value_name = "TEXT")]
    pub(crate) hypothesis: String,
    /// How far the metric will move, signed, such as -0.02
    #[arg(long, value_name = "DELTA", allow_hyphen_values = true)]
    pub(crate) predict: Option<f64>,
    /// The trial it starts from [default: the champion]
    #[arg(long, value_name = "TRIAL")]
    pub(crate) parent: Option<String>,
    /// Who made it
    #[arg(long, value_name = "NAME", default_value = "user")]
    pub(crate) by: String,
    /// Wait for the outcome; measures the trial in this process when no other is at work
    #[arg(long)]
    pub(crate) wait: bool,
    /// Only say whether it fits and passes the static checks; nothing is handed in
    #[arg(long, conflicts_with = "wait")]
    pub(crate) check: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Mcp {
    /// The study's directory
    pub(crate) study: PathBuf,
    /// Whose trials these are [default: what the client calls itself]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// A study's directory, or one that holds several
    #[arg(default_value = "studies")]
    pub(crate) path: PathBuf,
    /// The port [default: 8377, or any that is free]
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// The address to listen at; others than loopback need TLS or a proxy to be named [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) bind: Option<IpAddr>,
    /// A certificate with its chain, PEM: the server speaks TLS
    #[arg(long, value_name = "FILE", requires = "tls_key", conflicts_with = "behind_proxy")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The origin that a proxy, which speaks TLS, shows the server under
    #[arg(long, value_name = "https://NAME")]
    pub(crate) behind_proxy: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Which
    pub(crate) which: SchemaName,
    /// As a reference in Markdown
    #[arg(long, conflicts_with = "json")]
    pub(crate) md: bool,
    /// Accepted for uniformity: a schema is JSON already
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaName {
    /// What an evaluator writes to $EMPIRIC_RESULT
    Result,
    /// task.toml
    Task,
    /// The environment variables that tell recipe and evaluator where things are
    Variables,
    /// The REST interface of `empiric serve`, as OpenAPI 3.1
    Api,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell, or `man`, or `markdown`
    pub(crate) shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash
    Bash,
    /// Elvish
    Elvish,
    /// fish
    Fish,
    /// PowerShell
    Powershell,
    /// Z shell
    Zsh,
    /// A reference of every verb, in Markdown
    Markdown,
    /// The manual page, in roff
    Man,
}
