//! Rosters: which roles propose on a task, what each owns, and what it is told to look for.
//!
//! A task's surfaces are its roles; what is known of common surfaces is added to the task's own brief. A task without
//! surfaces gets every common role on the whole recipe. Ownership of a surface is held by the rules on trees, never by
//! these words.

use empiric_core::{Role, Task, task::Surface};

/// What is known of a common surface.
struct Common {
    name: &'static str,
    /// Words of a surface's name or brief by which it is recognised.
    signs: &'static [&'static str],
    brief: &'static str,
    radius: u32,
}

const COMMON: [Common; 9] = [
    Common {
        name: "architecture",
        signs: &["arch", "model", "network", "layers", "net"],
        brief: "Look at what information reaches the output and what is lost on the way: mixing, depth and width at equal \
                cost, residual paths, normalisation, initialisation, sharing. Prefer one structural change to three numbers.",
        radius: 120,
    },
    Common {
        name: "optimiser",
        signs: &["opt", "optim", "optimiser", "optimizer", "training", "gradient"],
        brief: "Look at what each step does to each kind of parameter: update rule, momentum, second moments, per-group \
                rates, decay, clipping, averaging of weights. Most gains here are small edits with a clear reason.",
        radius: 60,
    },
    Common {
        name: "data",
        signs: &["data", "loader", "sampling", "curriculum", "augmentation", "aug", "tokens"],
        brief: "Look at what is seen how often and in which order: sampling, packing, length, repetition, augmentation, \
                filtering of what teaches nothing. Data that only the evaluator may read stay out of it.",
        radius: 80,
    },
    Common {
        name: "schedule",
        signs: &["sched", "schedule", "warmup", "horizon"],
        brief: "Look at how rates, sizes and strengths change over the run, and whether the whole budget is used: warm-up, \
                decay shape, batch growth, when to stop.",
        radius: 40,
    },
    Common {
        name: "regularisation",
        signs: &["reg", "regularisation", "regularization", "dropout", "smoothing"],
        brief: "Look at the gap between what is trained on and what is scored: noise, dropout, decay, smoothing, early \
                averaging. Where the model is too small for its data, taking regularisation away is the gain.",
        radius: 40,
    },
    Common {
        name: "loss",
        signs: &["loss", "objective", "target"],
        brief: "Look at what is optimised against what is scored: weighting, auxiliary targets, label smoothing, calibration \
                of outputs. The score itself is not yours.",
        radius: 60,
    },
    Common {
        name: "systems",
        signs: &[
            "sys",
            "systems",
            "kernel",
            "speed",
            "runtime",
            "compile",
            "precision",
            "parallel",
        ],
        brief: "Look at where the time goes: needless copies, Python in inner loops, data types, vectorisation, caching \
                within one run, set-up that is paid every time. Time won buys more work inside the same limit.",
        radius: 120,
    },
    Common {
        name: "quantisation",
        signs: &[
            "quant",
            "quantisation",
            "quantization",
            "packing",
            "compress",
            "bits",
            "artefact",
            "artifact",
        ],
        brief: "Look at bytes per unit of quality: bits by tensor, scales, calibration, entropy coding, code size. Bytes \
                saved here buy capacity elsewhere; say how many are left.",
        radius: 100,
    },
    Common {
        name: "evaluation-time",
        signs: &["eval", "adaptation", "inference", "decoding", "predict", "ttt"],
        brief: "Look at what may still be done when the recipe is questioned: adapting to what was revealed, mixing \
                predictors, caching, windows. Only what was revealed may be used, and only in the order it was.",
        radius: 100,
    },
];

/// A role that looks at evidence first and proposes small steps anywhere.
fn analyst() -> Role {
    Role {
        name: "analyst".to_owned(),
        surface: None,
        brief: "Read the evidence before the code: near misses, undecided trials, surfaces that few have tried, predictions \
                that were wrong in one direction. Propose the smallest edit that the evidence supports, and write down \
                what trials taught with `add_insight`."
            .to_owned(),
        off_limits: "large rewrites".to_owned(),
        radius: Some(20),
    }
}

/// One role that owns everything: the control for a roster of specialists.
#[must_use]
pub fn generalist() -> Vec<Role> {
    vec![Role {
        name: "generalist".to_owned(),
        surface: None,
        brief: "Everything is yours: model, training, data, systems. Choose where a change promises most for its cost."
            .to_owned(),
        off_limits: String::new(),
        radius: None,
    }]
}

/// The roles of a task: one to each surface, or every common one where it has fewer than two, and an analyst.
#[must_use]
pub fn roster(task: &Task) -> Vec<Role> {
    let mut roles: Vec<Role> = if task.surfaces.len() < 2 {
        COMMON.iter().map(|common| role(common.name, None, String::new(), Some(common))).collect()
    } else {
        task.surfaces.iter().map(of_surface).collect()
    };
    roles.push(analyst());
    roles
}

fn of_surface(surface: &Surface) -> Role {
    let common = recognised(&surface.name).or_else(|| recognised(&surface.brief));
    role(&surface.name, Some(surface.name.clone()), surface.brief.clone(), common)
}

fn role(name: &str, surface: Option<String>, own: String, common: Option<&Common>) -> Role {
    let hints = common.map_or("", |common| common.brief);
    let brief = [own.as_str(), hints]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(". ");
    let off_limits = if surface.is_some() { "whatever other roles own" } else { "" };
    Role {
        name: name.to_owned(),
        surface,
        brief,
        off_limits: off_limits.to_owned(),
        radius: common.map(|common| common.radius),
    }
}

/// The common surface that has one of its signs among the words of `text`; that with the earliest.
fn recognised(text: &str) -> Option<&'static Common> {
    let words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    words.filter(|word| !word.is_empty()).find_map(|word| {
        COMMON.iter().find(|common| common.signs.contains(&word.as_str()) || common.name == word)
    })
}

/// Roles written in a file, as TOML's `[[role]]` tables, checked against the task.
///
/// # Errors
/// When it is no such file, names a surface that the task does not have, or names a role twice.
pub fn written(text: &str, task: &Task) -> Result<Vec<Role>, String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        role: Vec<Role>,
    }
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut names = std::collections::BTreeSet::new();
    for role in &file.role {
        if role.name.trim().is_empty() || !names.insert(role.name.as_str()) {
            return Err(format!("role `{}` needs a name of its own", role.name));
        }
        if let Some(surface) = &role.surface
            && !task.surfaces.iter().any(|known| known.name == *surface)
        {
            let known: Vec<&str> = task.surfaces.iter().map(|known| known.name.as_str()).collect();
            return Err(format!(
                "role `{}` owns surface `{surface}`, which the task does not have; it has {}",
                role.name,
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            ));
        }
    }
    if file.role.is_empty() { Err("there is no [[role]] in it".to_owned()) } else { Ok(file.role) }
}

#[cfg(test)]
mod tests {
    use super::{generalist, roster, written};
    use crate::digest::tests::tale::task;

    #[test]
    fn surfaces_become_roles_with_what_is_known_of_them() {
        let roles = roster(&task());
        let named: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
        assert_eq!(
            named,
            ["model", "training", "data", "packing", "adaptation", "évaluation", "analyst"]
        );
        assert!(
            roles[0].brief.starts_with("all that is model. Look at what information"),
            "{}",
            roles[0].brief
        );
        assert_eq!(roles[3].radius, Some(100));
        assert!(roles[..6].iter().all(|role| role.surface.as_deref() == Some(role.name.as_str())));
    }

    #[test]
    fn a_task_without_surfaces_gets_every_common_role_on_the_whole_recipe() {
        let mut task = task();
        task.surfaces.clear();
        let roles = roster(&task);
        assert_eq!(roles.len(), 10);
        assert!(roles.iter().all(|role| role.surface.is_none()));
        assert_eq!(generalist().len(), 1);
    }

    #[test]
    fn a_roster_file_is_held_to_the_task() {
        let text = "[[role]]\nname = \"a\"\nsurface = \"model\"\nbrief = \"b\"\nradius = 9\n";
        assert_eq!(written(text, &task()).unwrap()[0].radius, Some(9));
        for (wrong, why) in [
            (text.replace("model", "modle"), "modle"),
            (format!("{text}{text}"), "of its own"),
            (text.replace("radius", "radios"), "radios"),
            (String::new(), "role"),
        ] {
            let found = written(&wrong, &task()).unwrap_err();
            assert!(found.contains(why), "{found}");
        }
    }
}
