//! The Landlock level: file rules, no capabilities, and the system call filter, entered just before the program.

use std::os::fd::OwnedFd;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, Scope, path_beneath_rules,
};
use seccompiler::BpfProgram;

use crate::policy::{Access, Level, Network, Policy};
use crate::{Error, deputy};

/// Newest first. Older than the third, Landlock cannot stop a file outside the views from being truncated.
const USABLE: [ABI; 7] = [ABI::V9, ABI::V8, ABI::V7, ABI::V6, ABI::V5, ABI::V4, ABI::V3];

/// Devices that any program may use.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// The Landlock version this kernel enforces in full.
pub(crate) fn version() -> Option<ABI> {
    USABLE.into_iter().find(|&abi| empty(abi).and_then(Ruleset::create).is_ok())
}

fn empty(abi: ABI) -> Result<Ruleset, landlock::RulesetError> {
    let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let rules = rules.handle_access(AccessFs::from_all(abi))?;
    let scopes = Scope::from_all(abi);
    if scopes.is_empty() { Ok(rules) } else { rules.scope(scopes) }
}

/// Everything a program at the Landlock level passes through, prepared.
#[derive(Debug)]
pub(crate) struct Confinement {
    rules: Option<RulesetCreated>,
    filter: BpfProgram,
    gpus: bool,
    /// Where the listener of the filter goes.
    line: OwnedFd,
}

impl Confinement {
    /// Prepares a policy's rules; `tmp` is the unit's own temporary directory. What the filter leaves to the
    /// [deputy](crate::deputy) is announced on `line`.
    pub(crate) fn new(policy: &Policy, tmp: &Path, line: OwnedFd) -> Result<Self, Error> {
        if matches!(policy.network, Network::Loopback | Network::Door) {
            return Err(Error::Unsupported(
                "a private loopback network needs bubblewrap, not landlock".into(),
            ));
        }
        let unavailable =
            || Error::Unsupported("this kernel does not enforce landlock version 3".into());
        let abi = version().ok_or_else(unavailable)?;
        let (read, all) = (AccessFs::from_read(abi), AccessFs::from_all(abi));
        let use_device = AccessFs::from_file(abi) & !BitFlags::from(AccessFs::Execute);
        let shown = |access| {
            policy.views.iter().filter(move |v| v.access == access).map(|v| v.host.as_path())
        };
        for view in &policy.views {
            // A path that does not open would silently get no rule.
            view.host
                .metadata()
                .map_err(Error::io(format!("open view {}", view.host.display())))?;
        }
        let rules = empty(abi)?
            .create()?
            .add_rules(path_beneath_rules(policy.system_paths(), read))?
            .add_rules(path_beneath_rules([Path::new("/proc")], read))?
            .add_rules(path_beneath_rules(DEVICES, use_device))?
            .add_rules(path_beneath_rules(policy.gpu_devices(), use_device))?
            .add_rules(path_beneath_rules(shown(Access::Read), read))?
            .add_rules(path_beneath_rules(shown(Access::Write).chain([tmp]), all))?;
        let filter = crate::seccomp::filter(policy.network, Level::Landlock)?;
        Ok(Self { rules: Some(rules), filter, gpus: !policy.gpus.is_empty(), line })
    }

    /// Confines the calling process for good. Called between fork and exec.
    pub(crate) fn enter(&mut self) -> Result<(), Error> {
        rustix::thread::set_no_new_privs(true)
            .map_err(|e| Error::io("forgo new privileges")(e.into()))?;
        let none = rustix::thread::CapabilitySet::empty();
        let sets =
            rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
        rustix::thread::set_capabilities(None, sets)
            .map_err(|e| Error::io("drop capabilities")(e.into()))?;
        if let Some(mut rules) = self.rules.take() {
            if self.gpus {
                // CUDA writes its threads' names there, and falls back to the CPU when it cannot.
                let own =
                    PathFd::new("/proc/self").map_err(|e| Error::Unsupported(e.to_string()))?;
                rules = rules
                    .add_rule(PathBeneath::new(own, AccessFs::WriteFile | AccessFs::ReadFile))?;
            }
            rules.restrict_self()?;
        }
        deputy::appoint(&self.filter, &self.line)
            .map_err(|errno| Error::io("install the system call filter")(errno.into()))
    }
}
