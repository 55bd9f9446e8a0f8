//! What programs run in: a virtual environment built once from the task's requirements and kept by content hash, or
//! the Python that is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use empiric_core::Digest;

use crate::{
    Error, Host, Loaded, Progress, files,
    process::{Job, begin, command, find, lock},
    python::{Python, Requirement},
};

/// Part of every key: raised when environments are built in another way.
const BUILDER: &str = "environment 1";

/// File that says that an environment is whole.
const COMPLETE: &str = ".complete";

/// Directories that every sandbox shows anyway.
const ALWAYS_THERE: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"];

/// Set for every command, below what the task sets. Bytecode is compiled when the environment is built, which is
/// read-only afterwards, and recipes leave none behind; string hashes do not differ between processes, so that the
/// order of a set does not; output is not held back when a process is ended.
const VARS: [(&str, &str); 3] =
    [("PYTHONDONTWRITEBYTECODE", "1"), ("PYTHONHASHSEED", "0"), ("PYTHONUNBUFFERED", "1")];

/// What a task's programs run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Environment {
    /// Hash of the Python version and of the requirements, or of the packages that are installed.
    pub(crate) digest: Digest,
    /// Directory to look programs up in before all others.
    pub(crate) bin: Option<PathBuf>,
    /// Directories outside `/usr` and the like that programs must be able to read, under these very paths.
    pub(crate) read_paths: Vec<PathBuf>,
    /// Variables to set for every command.
    pub(crate) vars: BTreeMap<String, String>,
}

impl Environment {
    /// `path` with `bin` in front.
    #[must_use]
    pub(crate) fn path(&self, path: &std::ffi::OsStr) -> OsString {
        let mut whole = OsString::new();
        if let Some(bin) = &self.bin {
            whole.push(bin);
            whole.push(":");
        }
        whole.push(path);
        whole
    }
}

/// Builds environments and finds those that were built.
#[derive(Debug)]
pub(crate) struct Environments<'a> {
    host: &'a Host,
}

impl<'a> Environments<'a> {
    /// Environments in the host's cache.
    #[must_use]
    pub(crate) fn new(host: &'a Host) -> Self {
        Self { host }
    }

    /// The environment of a task, built if it is not there. A build that fails or is cancelled leaves nothing but its
    /// log; two that want the same wait for each other.
    ///
    /// # Errors
    /// When no Python satisfies the task, a requirement cannot be installed, or `progress` says to stop.
    pub(crate) fn ensure(
        &self,
        loaded: &Loaded,
        progress: &mut Progress<'_>,
    ) -> Result<Environment, Error> {
        let wanted = &loaded.task.environment;
        let requirement: Option<Requirement> = match &wanted.python {
            Some(text) => Some(text.parse().map_err(io::Error::other)?),
            None => None,
        };
        let python =
            Python::find(requirement.as_ref(), &self.host.path).map_err(|seen| Error::NoPython {
                requirement: requirement
                    .as_ref()
                    .map_or_else(|| ">=3.8".to_owned(), Requirement::to_string),
                found: if seen.is_empty() { "none".to_owned() } else { seen.join(", ") },
            });
        let mut environment = match (python, &wanted.requirements) {
            (Ok(python), Some(requirements)) => {
                self.virtual_env(loaded, &python, requirements, progress)?
            }
            (Ok(python), None) => self.installed(loaded, &python)?,
            (Err(error), _) if needs_python(loaded) => return Err(error),
            (Err(_), _) => Environment {
                digest: files::digest_of([BUILDER, "no python"]),
                bin: None,
                read_paths: Vec::new(),
                vars: BTreeMap::new(),
            },
        };
        for (name, value) in VARS {
            environment.vars.insert(name.to_owned(), value.to_owned());
        }
        environment.vars.extend(wanted.vars.clone());
        Ok(environment)
    }

    /// The Python that is there, with the packages it has.
    fn installed(&self, loaded: &Loaded, python: &Python) -> Result<Environment, Error> {
        let version = python.version();
        let fields = [BUILDER, "installed", &python.implementation, &version];
        let digest =
            files::digest_of(fields.into_iter().chain(python.packages.iter().map(String::as_str)));
        let mut read: BTreeSet<PathBuf> = prefixes(python)?;
        // Packages may lie elsewhere, but the task's own directory holds what recipes must not see.
        let foreign =
            |path: &Path| !path.starts_with(&loaded.root) && !loaded.root.starts_with(path);
        read.extend(python.path.iter().filter(|path| foreign(path)).cloned());
        let home = python.executable.parent().unwrap_or(Path::new("/")).to_owned();
        let bin = if ["python", "python3"].iter().all(|name| home.join(name).exists()) {
            home
        } else {
            let aliases = self.aliases(&python.executable)?;
            read.insert(aliases.clone());
            aliases
        };
        let vars = python
            .user_base
            .iter()
            .map(|base| ("PYTHONUSERBASE".to_owned(), base.clone()))
            .collect();
        Ok(Environment { digest, bin: Some(bin), read_paths: outermost(read), vars })
    }

    /// Where environments are kept, as an absolute path.
    fn directory(&self) -> io::Result<PathBuf> {
        let all = self.host.cache.join("environments");
        fs_err::create_dir_all(&all)?;
        fs_err::canonicalize(all)
    }

    /// A directory where both `python` and `python3` are `executable`; Debian has only the second.
    fn aliases(&self, executable: &Path) -> Result<PathBuf, Error> {
        let key = files::digest_of(["alias", &executable.to_string_lossy()]).to_string();
        let bin = self.directory()?.join(format!("alias-{}", &key[..16]));
        fs_err::create_dir_all(&bin)?;
        for name in ["python", "python3"] {
            match fs_err::os::unix::fs::symlink(executable, bin.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(error.into());
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(bin)
    }

    fn virtual_env(
        &self,
        loaded: &Loaded,
        python: &Python,
        requirements: &str,
        progress: &mut Progress<'_>,
    ) -> Result<Environment, Error> {
        let file = loaded.root.join(requirements);
        let mut texts = Vec::new();
        read_requirements(&file, &mut texts)?;
        let version = python.version();
        let fields = [BUILDER, "virtual", &python.implementation, &version];
        let digest = files::digest_of(fields.into_iter().chain(texts.iter().map(String::as_str)));
        // The same content under another interpreter is another directory: a virtual environment points at its own.
        let key = files::digest_of([&digest.to_string(), &*python.executable.to_string_lossy()])
            .to_string();
        let all = self.directory()?;
        let build = Build {
            host: self.host,
            loaded,
            python,
            // Built where it stays: scripts in it name their interpreter by absolute path.
            dir: all.join(&key[..16]),
            log: all.join(format!("{}.log", &key[..16])),
            lock: all.join(format!("{}.lock", &key[..16])),
        };
        let empty = texts.iter().flat_map(|text| text.lines()).all(|line| {
            let line = line.trim();
            line.is_empty() || line.starts_with('#') || include(line).is_some()
        });
        build.ensure((!empty).then_some(requirements), progress)?;
        let mut read = prefixes(python)?;
        read.insert(build.dir.clone());
        Ok(Environment {
            digest,
            bin: Some(build.dir.join("bin")),
            read_paths: outermost(read),
            vars: BTreeMap::new(),
        })
    }
}

/// One virtual environment to be.
struct Build<'a> {
    host: &'a Host,
    loaded: &'a Loaded,
    python: &'a Python,
    dir: PathBuf,
    log: PathBuf,
    lock: PathBuf,
}

impl Build<'_> {
    fn ensure(&self, requirements: Option<&str>, progress: &mut Progress<'_>) -> Result<(), Error> {
        let complete = self.dir.join(COMPLETE);
        if complete.exists() {
            return Ok(());
        }
        let _lock = lock(&self.lock, progress)?;
        if complete.exists() {
            return Ok(());
        }
        if self.dir.exists() {
            fs_err::remove_dir_all(&self.dir)?;
        }
        if self.log.exists() {
            fs_err::remove_file(&self.log)?;
        }
        let built = self.fill(requirements, progress);
        if built.is_err() && self.dir.exists() {
            fs_err::remove_dir_all(&self.dir)?;
        }
        built?;
        files::make_read_only(&self.dir)?;
        fs_err::write(complete, "")?;
        Ok(())
    }

    fn fill(&self, requirements: Option<&str>, progress: &mut Progress<'_>) -> Result<(), Error> {
        begin(&format!("making an environment with Python {}", self.python.version()), progress)?;
        let uv = find("uv", &self.host.path);
        let executable = self.python.executable.as_os_str();
        let dir = self.dir.as_os_str();
        match &uv {
            Some(uv) => self.run(
                "uv venv",
                uv,
                &["venv".as_ref(), "--python".as_ref(), executable, dir],
                progress,
            )?,
            None => self.venv(requirements.is_some(), progress)?,
        }
        let Some(requirements) = requirements else { return Ok(()) };
        begin(&format!("installing {requirements}"), progress)?;
        let inner = self.dir.join("bin/python");
        let file = requirements.as_ref();
        match &uv {
            // Linked files would be shared with uv's own cache and with other environments.
            Some(uv) => {
                let options =
                    ["pip", "install", "--compile-bytecode", "--link-mode=copy", "--python"];
                let args: Vec<_> =
                    options.iter().map(AsRef::as_ref).chain([inner.as_os_str()]).collect();
                self.run(
                    "uv pip install",
                    uv,
                    &[&args[..], &["-r".as_ref(), file]].concat(),
                    progress,
                )
            }
            None => {
                let options =
                    ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-r"];
                let args: Vec<_> = options.iter().map(AsRef::as_ref).chain([file]).collect();
                self.run("pip install", &inner, &args, progress)
            }
        }
    }

    /// Python's own way. Without anything to install, pip is left out: it takes longer than all the rest.
    fn venv(&self, pip: bool, progress: &mut Progress<'_>) -> Result<(), Error> {
        let mut args = vec!["-m".as_ref(), "venv".as_ref(), self.dir.as_os_str()];
        if !pip {
            args.push("--without-pip".as_ref());
        }
        match self.run("python -m venv", &self.python.executable, &args, progress) {
            Err(Error::Failed { excerpt, .. })
                if excerpt.contains("ensurepip") || excerpt.contains("No module named venv") =>
            {
                let [major, minor, _] = self.python.version;
                Err(Error::NoVenv {
                    python: self.python.executable.clone(),
                    package: format!("python{major}-venv python{major}.{minor}-venv"),
                })
            }
            other => other,
        }
    }

    fn run(
        &self,
        what: &str,
        program: &Path,
        args: &[&std::ffi::OsStr],
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        let mut command = command(program, &self.host.path);
        command.args(args).current_dir(&self.loaded.root);
        Job { what, command, log: &self.log, wall: None }.run(progress)
    }
}

/// Whether the task cannot do without Python.
fn needs_python(loaded: &Loaded) -> bool {
    let task = &loaded.task;
    let commands = task
        .stages
        .iter()
        .map(|stage| &stage.command)
        .chain(&task.predictor)
        .chain(&task.evaluator);
    let mut runs = commands.map(|command| &command.run).chain(&task.prepare);
    task.environment.python.is_some()
        || task.environment.requirements.is_some()
        || runs.any(|run| {
            run.first().is_some_and(|program| program == "python" || program == "python3")
        })
}

/// Installation and packages of an interpreter, under the names it uses and without links.
fn prefixes(python: &Python) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for prefix in [&python.prefix, &python.base_prefix] {
        found.insert(prefix.clone());
        found.insert(fs_err::canonicalize(prefix)?);
    }
    Ok(found)
}

/// Directories that neither lie in another one nor are always there.
fn outermost(paths: BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::new();
    // Sorted, a directory comes before what is in it.
    for path in paths {
        let covered = |other: &Path| path.starts_with(other);
        if !kept.iter().any(|kept| covered(kept))
            && !ALWAYS_THERE.iter().any(|dir| covered(Path::new(dir)))
        {
            kept.push(path);
        }
    }
    kept
}

/// The file that a line of a requirements file includes.
fn include(line: &str) -> Option<&str> {
    let rest = ["--requirement", "--constraint", "-r", "-c"]
        .iter()
        .find_map(|option| line.strip_prefix(option))?;
    Some(rest.trim_start_matches('=').trim())
}

/// Texts of a requirements file and of those it includes.
fn read_requirements(file: &Path, texts: &mut Vec<String>) -> io::Result<()> {
    let text = fs_err::read_to_string(file)?;
    if texts.contains(&text) {
        return Ok(());
    }
    texts.push(text.clone());
    for included in
        text.lines().filter_map(|line| include(line.trim())).filter(|name| !name.contains("://"))
    {
        read_requirements(&file.with_file_name("").join(included), texts)?;
    }
    Ok(())
}
