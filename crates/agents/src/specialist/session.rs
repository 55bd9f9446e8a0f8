//! One session: a model reads, edits and checks with tools until it hands an edit in, gives up, or goes in circles.
//!
//! Every session starts clean: nothing of an earlier one is in it but what the ledger tells. Given the same study, the same
//! team and the same answers it makes the same requests, which is what lets a study be replayed.

use empiric_core::{Blame, Cause, Digest, Failure, Phase, Role, Team};
use empiric_llm::{
    Call, Class, Content, Error, ModelId, Models, Origin, Reply, Request, Stop, Turn,
};

use super::{
    context,
    tools::{Answer, Tools},
    watch::{Sign, Watch},
    workspace::Workspace,
};
use crate::{
    Brief, Proposal,
    digest::{Channels, one_line},
    errands::Halt,
    prompts::Prompts,
};

/// Lines of what was done that a shortened conversation keeps.
const DONE: usize = 40;

/// What a session is made of.
pub(super) struct Session<'a> {
    pub(super) brief: &'a Brief,
    pub(super) role: &'a Role,
    pub(super) team: &'a Team,
    pub(super) model: ModelId,
    pub(super) models: &'a dyn Models,
    pub(super) prompts: &'a Prompts,
    pub(super) channels: &'a Channels,
}

/// What is kept of a conversation when its middle goes.
#[derive(Default)]
struct Notes {
    done: Vec<String>,
    said: String,
}

impl Session<'_> {
    /// Goes on until there is an edit, or a reason why there is none.
    pub(super) fn run(&self) -> Result<Proposal, Failure> {
        let parent =
            self.brief.ask.parents.first().copied().unwrap_or(empiric_core::TrialNo::BASELINE);
        let files = self.brief.sources.files(parent)?;
        let space =
            Workspace::new(self.brief.study.task(), self.role.surface.as_deref(), parent, files);
        let (brief, role, channels) = (self.brief, self.role, self.channels);
        let web = &self.team.web[..];
        let mut tools =
            Tools { brief, role, channels, web, space, rehearsals: 0, fetches: 0, last: None };
        let mut request = Request::new(
            self.model.clone(),
            context::system(self.brief, self.role, self.prompts),
            context::opening(self.brief, self.role, self.prompts, self.channels),
            self.team.reply_tokens,
        );
        request.cache = true;
        request.tools = super::tools::open(self.channels, &self.team.web);
        let (mut watch, mut notes, mut overflowed) = (Watch::default(), Notes::default(), false);
        for nth in 0..self.team.turns {
            let reply = match self.ask(&request, nth) {
                Ok(reply) => reply,
                Err(error) if error.class == Class::ContextOverflow && !overflowed => {
                    overflowed = true;
                    self.shorten(&mut request, 0, &notes, &tools);
                    continue;
                }
                Err(error) => return Err(self.failure(&error)),
            };
            overflowed = false;
            let mut ends = Sign::Fine;
            let (mut results, mut answers) = (Vec::new(), Vec::new());
            for call in reply.calls() {
                let answer = tools.call(&call.name, &call.arguments);
                let (text, failed) = match answer {
                    Answer::Said(text) => (text, false),
                    Answer::Failed { text, signature } => {
                        let sign = watch.failed(&signature);
                        if matches!(sign, Sign::End(_)) || ends == Sign::Fine {
                            ends = sign;
                        }
                        (text, true)
                    }
                    Answer::Submitted(proposal) => return Ok(*proposal),
                    Answer::GaveUp(reason) => return Err(nothing(&reason)),
                    Answer::Ended(failure) => return Err(failure),
                };
                notes.did(&call.name, &call.arguments, &text);
                answers.push(text.clone());
                results.push(Content::Result { call: call.id.clone(), text, failed });
            }
            let turned = watch.turn(&answers, tree(&tools));
            if !matches!(ends, Sign::End(_))
                && (ends == Sign::Fine || matches!(turned, Sign::End(_)))
            {
                ends = turned;
            }
            self.answer(&mut request, &reply, results, &ends, &mut notes);
            if let Sign::End(what) = ends {
                // What it could not get past is what the trial ends with.
                return Err(tools
                    .last
                    .take()
                    .unwrap_or_else(|| nothing(&format!("the session went in circles: {what}"))));
            }
            if size(&request.turns) > self.team.context as usize {
                self.shorten(&mut request, self.team.context as usize / 2, &notes, &tools);
            }
        }
        Err(nothing(&format!("{} turns were not enough", self.team.turns)))
    }

    fn ask(&self, request: &Request, nth: u32) -> Result<Reply, Error> {
        let study = &self.brief.study;
        let arm = study.trial(self.brief.trial).map(|trial| trial.arm.clone()).unwrap_or_default();
        let origin = Origin { arm, role: self.role.name.clone(), trial: self.brief.trial, nth };
        self.models.call(&Call { origin, request: request.clone() })
    }

    /// Appends the reply and what it is answered with.
    fn answer(
        &self,
        request: &mut Request,
        reply: &Reply,
        results: Vec<Content>,
        sign: &Sign,
        notes: &mut Notes,
    ) {
        let text = reply.text();
        if !text.trim().is_empty() {
            notes.said = one_line(&text, 600);
        }
        let mut turn = reply.turn();
        if turn.content.is_empty() {
            turn.content.push(Content::Text { text: "(nothing)".to_owned() });
        }
        let mut content = results;
        let say = |text: String| Content::Text { text };
        if let Sign::Warn(what, left) = sign {
            content.push(say(self
                .prompts
                .say("stuck", &[("what", what), ("left", &left.to_string())])));
        } else if reply.stop == Stop::Length {
            content.push(say(
                "[the harness] The reply was cut off at its limit; go on in smaller steps."
                    .to_owned(),
            ));
        }
        if content.is_empty() {
            content.push(say("[the harness] Call a tool, or `submit`, or `give_up`.".to_owned()));
        }
        // Providers keep a few marks: the newest is what the next request begins with.
        request.turns.iter_mut().for_each(|turn| turn.cache = false);
        request.turns.push(turn);
        request.turns.push(Turn { cache: true, ..Turn::results(content) });
    }

    /// Takes the middle out of the conversation until the rest has at most `room` characters: the opening stays, with what
    /// was believed, tried and found, and the newest turns.
    fn shorten(&self, request: &mut Request, room: usize, notes: &Notes, tools: &Tools<'_>) {
        let turns = &mut request.turns;
        // A tail begins with a turn of the model, whose tool calls are answered within it.
        let tail = (1..turns.len())
            .step_by(2)
            .find(|at| size(&turns[*at..]) <= room)
            .unwrap_or(turns.len());
        turns.drain(1..tail);
        let diff = self.brief.errands.diff(tools.space.base(), &tools.space.files);
        let mut text = format!("What you said last: {}\n", notes.said);
        if let Some(failure) = &tools.last {
            text.push_str(&format!(
                "What stood in the way last: {}\n",
                one_line(&failure.to_string(), 300)
            ));
        }
        text.push_str("What was done:\n");
        let from = notes.done.len().saturating_sub(DONE);
        notes.done[from..].iter().for_each(|line| {
            text.push_str(line);
            text.push('\n');
        });
        text.push_str(&super::quoted("your edit so far", &diff, 6000));
        let text = self.prompts.say("compacted", &[("notes", &text)]);
        if let Some(first) = turns.first_mut() {
            first.content.truncate(1);
            first.content.push(Content::Text { text });
        }
    }

    /// What a call that gave nothing means for the trial.
    fn failure(&self, error: &Error) -> Failure {
        match &error.class {
            Class::Budget { refused } => self.brief.errands.halt(Halt::Budget(refused.to_string())),
            Class::Cancelled => self.brief.errands.halt(Halt::Cancelled),
            Class::Auth | Class::Unknown | Class::Unpriced | Class::Down | Class::NotRecorded => {
                self.brief.errands.halt(Halt::Setup(error.to_string()))
            }
            Class::RateLimited { .. }
            | Class::Overloaded { .. }
            | Class::Network
            | Class::Stalled
            | Class::Malformed
            | Class::ContextOverflow
            | Class::Declined
            | Class::Rejected
            | Class::Tape => {
                let failure =
                    Failure::new(Phase::Propose, Cause::ProposerFailed).excerpt(error.to_string());
                let ours = error.class == Class::Tape || error.is_of_the_provider();
                if ours { failure.blame(Blame::Infra) } else { failure }
            }
        }
    }
}

impl Notes {
    fn did(&mut self, name: &str, arguments: &serde_json::Value, answer: &str) {
        let first = answer.lines().next().unwrap_or_default();
        let line = format!(
            "- {name} {} -> {}",
            one_line(&arguments.to_string(), 120),
            one_line(first, 160)
        );
        self.done.push(line);
    }
}

/// No edit, and why.
fn nothing(why: &str) -> Failure {
    Failure::new(Phase::Propose, Cause::NoProposal).excerpt(one_line(why, 400))
}

fn tree(tools: &Tools<'_>) -> [u8; 32] {
    let changes =
        serde_json::to_vec(&(tools.space.parent, tools.space.changes())).unwrap_or_default();
    Digest::of(&changes).0
}

/// Characters of a conversation, thinking included.
fn size(turns: &[Turn]) -> usize {
    let part = |part: &Content| match part {
        Content::Text { text } => text.len(),
        Content::Image { data, .. } => data.len(),
        Content::Thinking { block, .. } => block.to_string().len(),
        Content::Call(call) => call.arguments.to_string().len() + call.name.len(),
        Content::Result { text, .. } => text.len(),
    };
    turns.iter().flat_map(|turn| &turn.content).map(part).sum()
}
