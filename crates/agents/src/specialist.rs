//! Specialists: models that propose, each in a role that owns part of the recipe.
//!
//! A proposal is one session of one role with one model, both chosen from the study, so that the same ledger leads to the
//! same choice. Models are chosen among by what they gained for what they cost. Who may edit what is held by the rules on
//! trees; the words of a role only say why.

use std::{collections::BTreeMap, sync::Arc};

use empiric_core::{
    BlobId, Cause, Failure, Lore, Money, Phase, Role, Team,
    quote::{self, Keep},
    seed,
};
use empiric_llm::{ModelId, Models};
use empiric_search::Allocation;
use rand::RngExt;

mod context;
mod session;
mod tools;
mod watch;
mod workspace;

#[cfg(test)]
mod tests;

use crate::{Brief, Proposal, Proposer, Staff, digest::Channels, prompts::Prompts};

/// Share of sessions whose model is left to chance.
const FLOOR: f64 = 0.2;
/// How promising a model is before anything was measured.
const PRIOR: f64 = 0.5;
/// Turns of a session where nothing else is asked.
const TURNS: u32 = 40;
/// Tokens of one reply where nothing else is asked.
const REPLY_TOKENS: u32 = 8_000;
/// Characters of a conversation where nothing else is asked; about 30,000 tokens.
const CONTEXT: u32 = 120_000;

/// Models in roles.
pub struct Specialists {
    name: String,
    team: Team,
    prompts: Prompts,
    channels: Channels,
    models: Arc<dyn Models>,
}

impl Specialists {
    /// The arm `name` with these roles and models.
    #[must_use]
    pub fn new(
        name: &str,
        roles: Vec<Role>,
        models: &[ModelId],
        prompts: Prompts,
        channels: Channels,
        client: Arc<dyn Models>,
    ) -> Self {
        let hashes =
            prompts.texts().map(|(name, text)| (name.to_owned(), BlobId::of(text.as_bytes())));
        let team = Team {
            roles,
            models: models.iter().map(ToString::to_string).collect(),
            prompts: hashes.collect(),
            closed: channels.closed(),
            web: Vec::new(),
            turns: TURNS,
            reply_tokens: REPLY_TOKENS,
            context: CONTEXT,
        };
        Self { name: name.to_owned(), team, prompts, channels, models: client }
    }

    /// With leave to read pages of the web, of these hosts.
    #[must_use]
    pub fn reading(mut self, web: Vec<String>) -> Self {
        self.team.web = web;
        self
    }

    /// The arm `name` as it was recorded, from its team and the texts of its prompts.
    ///
    /// # Errors
    /// When a prompt is none of this version's.
    pub fn recorded(
        name: &str,
        team: Team,
        texts: BTreeMap<String, String>,
        client: Arc<dyn Models>,
    ) -> Result<Self, crate::prompts::PromptError> {
        let prompts = Prompts::default().with(texts)?;
        let channels = Channels::except(&team.closed);
        Ok(Self { name: name.to_owned(), team, prompts, channels, models: client })
    }

    /// The role that trial is for: one that owns the surface that is asked for, if any does.
    fn role(&self, brief: &Brief) -> Option<&Role> {
        let wanted = brief.ask.surface.as_deref();
        let owning: Vec<&Role> =
            self.team.roles.iter().filter(|role| role.surface.as_deref() == wanted).collect();
        let able: Vec<&Role> = match (owning.is_empty(), wanted) {
            (false, _) => owning,
            // Whoever owns no surface in particular may work on any; the rules hold it to the one asked for.
            (true, Some(_)) => {
                self.team.roles.iter().filter(|role| role.surface.is_none()).collect()
            }
            (true, None) => self.team.roles.iter().collect(),
        };
        let mut rng = seed::stream(brief.study.settings().seed, "role", brief.trial);
        (!able.is_empty()).then(|| able[rng.random_range(0..able.len())])
    }

    /// The model that has gained most for its cost, by a draw.
    fn model(&self, brief: &Brief) -> Option<ModelId> {
        let arm = brief.study.trial(brief.trial).map_or("", |trial| trial.arm.as_str());
        let lore = brief.study.library().lore(arm);
        let mut bandit = Allocation::new(FLOOR);
        credited(&mut bandit, &lore);
        let options: Vec<(&str, f64)> =
            self.team.models.iter().map(|model| (model.as_str(), PRIOR)).collect();
        let mut rng = seed::stream(brief.study.settings().seed, "model", brief.trial);
        let chosen = if options.len() < 2 { 0 } else { bandit.choose(&options, &mut rng) };
        self.team.models.get(chosen)?.parse().ok()
    }
}

/// Other people's words on lines of their own. The end is kept, since that is where programs say what went wrong.
fn quoted(source: &str, text: &str, limit: usize) -> String {
    let mut quoted = quote::quote(source, text, limit, Keep::Tail);
    quoted.push('\n');
    quoted
}

/// Tells a bandit how models stand: cost in units of the mean trial, by money where any was charged.
fn credited(bandit: &mut Allocation, lore: &Lore) {
    let ended: u32 = lore.credits().values().map(|credit| credit.ended).sum();
    let money: Money = lore.credits().values().map(|credit| credit.money).sum();
    let mean = money.usd() / f64::from(ended.max(1));
    for (model, credit) in lore.credits() {
        let cost = if mean > 0.0 { credit.money.usd() / mean } else { f64::from(credit.ended) };
        bandit.stands(model, credit.gain, cost, f64::from(credit.running));
    }
}

impl Proposer for Specialists {
    fn name(&self) -> &str {
        &self.name
    }

    fn staff(&self) -> Option<Staff> {
        let texts = self.prompts.texts().map(|(_, text)| text.to_owned()).collect();
        Some(Staff { team: self.team.clone(), texts })
    }

    fn propose(&self, brief: &Brief) -> Result<Proposal, Failure> {
        let broken = |why: &str| Failure::new(Phase::Propose, Cause::ProposerFailed).excerpt(why);
        let role =
            self.role(brief).ok_or_else(|| broken("the roster has no role for what is asked"))?;
        // A role without a surface of its own is held to the one that is asked for.
        let mut role = role.clone();
        role.surface = role.surface.or_else(|| brief.ask.surface.clone());
        let model = self.model(brief).ok_or_else(|| broken("the team has no model"))?;
        let session = session::Session {
            brief,
            role: &role,
            team: &self.team,
            model,
            models: &*self.models,
            prompts: &self.prompts,
            channels: &self.channels,
        };
        session.run()
    }
}
