//! The agents that are known: how each is called, told where its model is, and asked what it is.
//!
//! From their public documentation, November 2026. To add one: a variant, its arms here, and its reading in `transcript`.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

use empiric_core::{
    Operator, Outcome, TrialNo,
    quote::{self, Keep},
};
use empiric_llm::Dialect;
use serde_json::json;

use super::{Transcript, transcript};
use crate::{
    Brief, Files,
    digest::{Channels, digest},
};

/// Most bytes of what a failed trial printed.
const SHOWN: usize = 3000;

/// A command-line agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driver {
    /// Anthropic's `claude -p`.
    Claude,
    /// OpenAI's `codex exec`.
    Codex,
    /// Google's `gemini`.
    Gemini,
    /// `opencode run`.
    Opencode,
    /// `aider`.
    Aider,
    /// Any other program: its arguments, with `{prompt}` where the prompt goes, or at the end where there is none, and
    /// `{model}` where a model does. What it prints is taken for its words.
    Other(Vec<String>),
}

/// A command and its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) argv: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
}

impl Driver {
    /// Those that are known by name.
    pub const KNOWN: [Self; 5] =
        [Self::Claude, Self::Codex, Self::Gemini, Self::Opencode, Self::Aider];

    /// The driver of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::KNOWN.into_iter().find(|driver| driver.name() == name)
    }

    /// What it can speak with its model, each with the provider that usually answers; the first is what it prefers.
    pub(super) fn dialects(&self) -> &'static [(Dialect, &'static str)] {
        const MESSAGES: (Dialect, &str) = (Dialect::Messages, "anthropic");
        const RESPONSES: (Dialect, &str) = (Dialect::Responses, "openai");
        const CHAT: (Dialect, &str) = (Dialect::Chat, "openai-chat");
        const GEMINI: (Dialect, &str) = (Dialect::Gemini, "google");
        match self {
            Self::Claude => &[MESSAGES],
            Self::Codex => &[RESPONSES],
            Self::Gemini => &[GEMINI],
            Self::Opencode => &[MESSAGES, RESPONSES, GEMINI],
            Self::Aider => &[MESSAGES, CHAT],
            Self::Other(_) => &[MESSAGES, RESPONSES, CHAT, GEMINI],
        }
    }

    /// What it calls the model that its provider calls `model`: some name the language that it is asked in, too.
    pub(super) fn word(&self, dialect: Dialect, model: &str) -> String {
        let family = match dialect {
            Dialect::Messages => "anthropic",
            Dialect::Responses | Dialect::Chat => "openai",
            Dialect::Gemini => "google",
        };
        match self {
            Self::Opencode | Self::Aider => format!("{family}/{model}"),
            Self::Claude | Self::Codex | Self::Gemini | Self::Other(_) => model.to_owned(),
        }
    }

    /// The arguments that a user gave it, if it is the user's own.
    pub(super) fn words(&self) -> Option<&[String]> {
        match self {
            Self::Other(words) => Some(words),
            Self::Claude | Self::Codex | Self::Gemini | Self::Opencode | Self::Aider => None,
        }
    }

    /// Its name, which is also its program's.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
            Self::Aider => "aider",
            Self::Other(_) => "command",
        }
    }

    /// Asks the program for its version.
    pub(super) fn probe(&self, program: &Path) -> Vec<String> {
        vec![program.display().to_string(), "--version".to_owned()]
    }

    /// The command that works on `prompt` with its model at `base`, which takes `token` for a key. The agents' own
    /// permission prompts and sandboxes are off: nobody is there to answer, and it is held from outside.
    pub(super) fn command(
        &self,
        program: &Path,
        model: Option<&str>,
        prompt: &str,
        base: &str,
        token: &str,
    ) -> Command {
        let words =
            |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let with_model = |flag: &str| model.map(|model| words(&[flag, model])).unwrap_or_default();
        let arguments = match self {
            Self::Claude => [
                words(&[
                    "-p",
                    "--output-format",
                    "stream-json",
                    "--verbose",
                    "--dangerously-skip-permissions",
                ]),
                with_model("--model"),
                words(&["--", prompt]),
            ]
            .concat(),
            Self::Codex => {
                let provider = format!(
                    "model_providers.empiric={{name=\"empiric\",base_url=\"{base}/v1\",env_key=\"OPENAI_API_KEY\",wire_api=\"responses\"}}"
                );
                [
                    words(&[
                        "exec",
                        "--json",
                        "--skip-git-repo-check",
                        "--dangerously-bypass-approvals-and-sandbox",
                    ]),
                    words(&["-c", "model_provider=\"empiric\"", "-c", &provider]),
                    with_model("--model"),
                    words(&["--", prompt]),
                ]
                .concat()
            }
            Self::Gemini => [
                words(&["--output-format", "json", "--yolo"]),
                with_model("--model"),
                words(&["--prompt", prompt]),
            ]
            .concat(),
            Self::Opencode => {
                [words(&["run", "--format", "json"]), with_model("--model"), words(&["--", prompt])]
                    .concat()
            }
            Self::Aider => [
                words(&[
                    "--yes-always",
                    "--no-git",
                    "--no-auto-commits",
                    "--no-pretty",
                    "--no-stream",
                ]),
                words(&[
                    "--no-check-update",
                    "--no-analytics",
                    "--no-show-release-notes",
                    "--no-show-model-warnings",
                ]),
                with_model("--model"),
                words(&["--message", prompt]),
            ]
            .concat(),
            Self::Other(given) => {
                let model = model.unwrap_or_default();
                let named = given.iter().any(|word| word.contains("{prompt}"));
                let filled = given.iter().map(|word| {
                    // What a prompt says is not filled in once more.
                    let parts = word.split("{prompt}").map(|part| part.replace("{model}", model));
                    parts.collect::<Vec<_>>().join(prompt)
                });
                filled.chain((!named).then(|| prompt.to_owned())).collect()
            }
        };
        let mut argv = vec![program.display().to_string()];
        argv.extend(arguments);
        Command { argv, env: self.env(model, base, token) }
    }

    fn env(&self, model: Option<&str>, base: &str, token: &str) -> BTreeMap<String, String> {
        let v1 = format!("{base}/v1");
        let anthropic = [("ANTHROPIC_BASE_URL", base), ("ANTHROPIC_API_KEY", token)];
        let openai = [("OPENAI_BASE_URL", v1.as_str()), ("OPENAI_API_KEY", token)];
        let google = [("GOOGLE_GEMINI_BASE_URL", base), ("GEMINI_API_KEY", token)];
        let opencode = || {
            let options = |url: &str| json!({"options": {"baseURL": url, "apiKey": token}});
            json!({
                "autoupdate": false, "share": "disabled", "permission": {"*": "allow"},
                "provider": {
                    "anthropic": options(&v1), "openai": options(&v1), "google": options(&format!("{base}/v1beta")),
                },
            })
            .to_string()
        };
        let mut env: Vec<(&str, &str)> =
            vec![("EMPIRIC_TOKEN", token), ("CI", "1"), ("NO_COLOR", "1")];
        let config = opencode();
        match self {
            Self::Claude => {
                env.extend(anthropic);
                env.extend([
                    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
                    ("DISABLE_AUTOUPDATER", "1"),
                    // It refuses to work unasked as root, unless told that it is in a sandbox.
                    ("IS_SANDBOX", "1"),
                ]);
                // It asks a small model besides; the purse and the price list know the one that was chosen.
                env.extend(model.map(|model| ("ANTHROPIC_DEFAULT_HAIKU_MODEL", model)));
            }
            Self::Codex => env.extend(openai),
            Self::Gemini => {
                env.extend(google);
                env.push(("GEMINI_TELEMETRY_ENABLED", "false"));
            }
            Self::Opencode => {
                env.extend([
                    ("OPENCODE_CONFIG_CONTENT", config.as_str()),
                    ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
                ]);
            }
            Self::Aider => {
                env.extend(openai);
                env.extend(anthropic);
                env.extend([("OPENAI_API_BASE", v1.as_str()), ("ANTHROPIC_API_BASE", base)]);
            }
            Self::Other(_) => {
                env.extend(openai);
                env.extend(anthropic);
                env.extend(google);
                env.extend([("OPENAI_API_BASE", v1.as_str()), ("ANTHROPIC_API_BASE", base)]);
            }
        }
        env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Reads what it printed.
    pub(super) fn read(&self, stdout: &str, stderr: &str) -> Transcript {
        let mut transcript = match self {
            Self::Claude => transcript::claude(stdout),
            Self::Codex => transcript::codex(stdout),
            Self::Gemini => transcript::gemini(stdout),
            Self::Opencode => transcript::opencode(stdout),
            Self::Aider => transcript::aider(stdout),
            Self::Other(_) => {
                Transcript { text: stdout.trim().to_owned(), ..Transcript::default() }
            }
        };
        if transcript.text.is_empty() && transcript.error.is_none() && !stderr.trim().is_empty() {
            transcript.error = Some(stderr.trim().to_owned());
        }
        transcript
    }
}

/// What an agent is asked to do. What other trials left behind is data, and said to be.
pub(super) fn prompt(brief: &Brief, files: &Files) -> String {
    let task = brief.study.task();
    let metric = &task.metric;
    let what = match brief.ask.operator {
        Operator::Merge => {
            "Two lines of work were joined in these files. Make the join whole, and better than either"
        }
        Operator::Debug | Operator::Repair => {
            "The last change to these files failed. Find out why from the code, and mend it"
        }
        Operator::Ablate => "Take one part out of this recipe that may not be worth what it costs",
        Operator::Draft => "Make a bold change to this recipe",
        Operator::Improve | Operator::Tune => "Make one change to this recipe",
    };
    let surface = brief
        .ask
        .surface
        .as_deref()
        .and_then(|name| task.surfaces.iter().find(|surface| surface.name == name));
    let surface = surface.map_or_else(String::new, |surface| {
        format!("Only the surface `{}` is yours: {}.\n", surface.name, surface.owns.join(", "))
    });
    let parent = brief.ask.parents.first().copied().unwrap_or(TrialNo::BASELINE);
    let failed = match brief.study.trial(parent).and_then(|trial| trial.outcome.as_ref()) {
        Some(Outcome::Failed(failure)) => {
            let why = format!("{failure}\n{}", failure.excerpt);
            format!("{}\n", quote::quote(&format!("failure of {parent}"), &why, SHOWN, Keep::Tail))
        }
        Some(Outcome::Valid { .. }) | None => String::new(),
    };
    let arm = brief.study.trial(brief.trial).map(|trial| trial.arm.as_str()).unwrap_or_default();
    let measured = digest(&brief.study, arm, Some(brief.trial), &Channels::all());
    let measured =
        quote::quote("what this study has measured so far", &measured, measured.len(), Keep::Head);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    format!(
        "{what}, so that the metric `{}` will {}.\n\
         Task: {}\n\
         The files are in the current directory, as of trial {parent}: {}.\n{surface}{failed}{measured}\n\
         One idea only; other changes would be measured with it. Nothing here can measure the metric, so do not try to \
         train or to evaluate; the change is measured when you are done, on seeds that you do not know.\n\
         End with one line that begins with `HYPOTHESIS:` and says in one or two sentences what you changed and why it \
         should help. If you expect a size, end that line with `PREDICTION: {} increase|decrease NUMBER`.\n",
        metric.name,
        match metric.goal {
            empiric_core::Goal::Minimize => "fall",
            empiric_core::Goal::Maximize => "rise",
        },
        task.summary,
        names.join(", "),
        metric.name,
    )
}

/// What of the machine a program needs beside the system's own directories: the prefix that it is installed in, and the
/// directory that it was found in, where what it was found by is a link.
pub(super) fn installation(program: &Path) -> io::Result<Vec<PathBuf>> {
    const SYSTEM: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/nix/store"];
    let system = |path: &Path| SYSTEM.iter().any(|dir| path.starts_with(dir));
    let real = fs_err::canonicalize(program)?;
    let link = program.parent().filter(|dir| *dir != Path::new("/") && real != *program);
    let mut seen: Vec<PathBuf> =
        link.into_iter().filter(|dir| !system(dir)).map(Path::to_owned).collect();
    if system(&real) {
        return Ok(seen);
    }
    // A package of npm is its own prefix; of anything else it is what holds `bin`. A home directory is neither.
    let package = real
        .ancestors()
        .find(|dir| dir.parent().is_some_and(|parent| parent.ends_with("node_modules")));
    let dir = real.parent().unwrap_or(Path::new("/"));
    let prefix = if dir.ends_with("bin") {
        dir.parent().filter(|prefix| prefix.components().count() > 3)
    } else {
        None
    };
    seen.push(package.or(prefix).unwrap_or(dir).to_owned());
    Ok(seen)
}

/// A program's version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Version {
    numbers: Vec<u64>,
    text: String,
}

impl Version {
    /// The first thing that looks like a version: two numbers or more with dots between.
    #[must_use]
    pub fn find(said: &str) -> Option<Self> {
        said.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | '@')).find_map(
            |word| {
                let text = word.strip_prefix('v').unwrap_or(word);
                let plain = text.split(['-', '+']).next().unwrap_or_default();
                let numbers: Vec<u64> =
                    plain.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
                (numbers.len() >= 2).then(|| Self { numbers, text: text.to_owned() })
            },
        )
    }

    /// Its numbers.
    #[must_use]
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests;
