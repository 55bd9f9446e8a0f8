//! The budget of model calls: reserved before they are made, settled after.
//!
//! A reservation is for the worst that a call can cost. It is granted only where every cap that binds the caller (the
//! study's, the arm's, the role's, the trial's) has room for it beside what is spent and what is reserved, so the caps
//! hold however many call at once; only a call that costs more than its own worst can overshoot, by no more than that.
//!
//! In memory and pure: what was spent before is told by [`Purse::restore`], from the ledger.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use empiric_core::{Money, Spend, TrialNo};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::Origin;

#[cfg(test)]
mod tests;

/// Caps on what calls use up; an absent one does not bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caps {
    /// Requests.
    pub calls: Option<u64>,
    /// Tokens of every kind.
    pub tokens: Option<u64>,
    /// Money.
    pub money: Option<Money>,
}

/// All caps of a study.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// On the whole study.
    pub study: Caps,
    /// On arms, by name.
    pub arms: BTreeMap<String, Caps>,
    /// On roles, by name.
    pub roles: BTreeMap<String, Caps>,
    /// On each trial, which is one hypothesis.
    pub each_trial: Caps,
}

impl Limits {
    fn caps(&self, scope: &Scope) -> Caps {
        match scope {
            Scope::Study => self.study,
            Scope::Arm(arm) => self.arms.get(arm).copied().unwrap_or_default(),
            Scope::Role(role) => self.roles.get(role).copied().unwrap_or_default(),
            Scope::Trial(_) => self.each_trial,
        }
    }

    /// Whether money is capped anywhere, so that no call can be made whose price is not known.
    #[must_use]
    pub fn binds_money(&self) -> bool {
        let caps = [&self.study, &self.each_trial].into_iter();
        caps.chain(self.arms.values()).chain(self.roles.values()).any(|caps| caps.money.is_some())
    }
}

/// Whom a cap binds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The whole study.
    Study,
    /// An arm.
    Arm(String),
    /// A role.
    Role(String),
    /// A trial.
    Trial(TrialNo),
}

impl Scope {
    fn of(origin: &Origin) -> [Self; 4] {
        [
            Self::Study,
            Self::Arm(origin.arm.clone()),
            Self::Role(origin.role.clone()),
            Self::Trial(origin.trial),
        ]
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Study => f.write_str("the study"),
            Self::Arm(name) => write!(f, "arm {name}"),
            Self::Role(name) => write!(f, "role {name}"),
            Self::Trial(no) => write!(f, "trial {no}"),
        }
    }
}

/// The part of a spend that a cap is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Requests.
    Calls,
    /// Tokens.
    Tokens,
    /// Money.
    Money,
}

/// A reservation that was not granted. All amounts are in the part's own unit: requests, tokens, picodollars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Whose cap it is.
    pub scope: Scope,
    /// What is capped.
    pub part: Part,
    /// The cap.
    pub cap: u64,
    /// Settled so far.
    pub spent: u64,
    /// Reserved by calls under way; while there are any, room may come back.
    pub reserved: u64,
    /// What was asked for.
    pub asked: u64,
}

impl Refused {
    /// Whether room may come back when calls under way settle for less than was reserved.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.reserved > 0 && self.spent.saturating_add(self.asked) <= self.cap
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope, part, cap, spent, reserved, asked } = self;
        let shown = |amount: u64| match part {
            Part::Calls => format!("{amount} calls"),
            Part::Tokens => format!("{amount} tokens"),
            Part::Money => Money(amount).to_string(),
        };
        write!(
            f,
            "the budget of {scope} has no room: {} of {} are spent and {} reserved, and the call may take {}; give more \
             to go on",
            shown(*spent),
            shown(*cap),
            shown(*reserved),
            shown(*asked)
        )
    }
}

/// What one scope has spent and reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Account {
    spent: Spend,
    reserved: Spend,
}

#[derive(Debug, Default)]
struct Inner {
    limits: Limits,
    accounts: BTreeMap<Scope, Account>,
}

/// The purse of one study; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Purse(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    /// Told whenever there may be more room.
    room: Notify,
}

impl Purse {
    /// An untouched purse under `limits`.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let inner = Mutex::new(Inner { limits, ..Inner::default() });
        Self(Arc::new(Shared { inner, room: Notify::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The caps in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.lock().limits.clone()
    }

    /// Replaces the caps; what is spent and reserved stays.
    pub fn set_limits(&self, limits: Limits) {
        self.lock().limits = limits;
        self.0.room.notify_waiters();
    }

    /// Books what was spent before, from the ledger; no cap is asked.
    pub fn restore(&self, origin: &Origin, spent: Spend) {
        let mut inner = self.lock();
        for scope in Scope::of(origin) {
            inner.accounts.entry(scope).or_default().spent += spent;
        }
    }

    /// What a scope has spent.
    #[must_use]
    pub fn spent(&self, scope: &Scope) -> Spend {
        self.lock().accounts.get(scope).copied().unwrap_or_default().spent
    }

    /// What calls of a scope have reserved at this moment.
    #[must_use]
    pub fn reserved(&self, scope: &Scope) -> Spend {
        self.lock().accounts.get(scope).copied().unwrap_or_default().reserved
    }

    /// Reserves `worst` for a call of `origin`.
    ///
    /// # Errors
    /// When a cap has no room for it; nothing is reserved then.
    pub fn reserve(&self, origin: &Origin, worst: Spend) -> Result<Reservation, Refused> {
        let scopes = Scope::of(origin);
        let mut inner = self.lock();
        for scope in &scopes {
            let Account { spent, reserved } =
                inner.accounts.get(scope).copied().unwrap_or_default();
            let caps = inner.limits.caps(scope);
            let parts = [
                (Part::Calls, caps.calls, spent.calls, reserved.calls, worst.calls),
                (Part::Tokens, caps.tokens, spent.tokens, reserved.tokens, worst.tokens),
                (
                    Part::Money,
                    caps.money.map(|cap| cap.0),
                    spent.money.0,
                    reserved.money.0,
                    worst.money.0,
                ),
            ];
            for (part, cap, spent, reserved, asked) in parts {
                let Some(cap) = cap else { continue };
                if u128::from(spent) + u128::from(reserved) + u128::from(asked) > u128::from(cap) {
                    let scope = scope.clone();
                    return Err(Refused { scope, part, cap, spent, reserved, asked });
                }
            }
        }
        for scope in &scopes {
            inner.accounts.entry(scope.clone()).or_default().reserved += worst;
        }
        Ok(Reservation { purse: self.clone(), scopes, worst, settled: false })
    }
}

impl Purse {
    /// As [`Self::reserve`], but while calls under way hold the room that is missing, it waits for how they settle.
    ///
    /// # Errors
    /// When a cap has no room for it, whatever calls under way will cost.
    pub async fn reserve_when_free(
        &self,
        origin: &Origin,
        worst: Spend,
    ) -> Result<Reservation, Refused> {
        loop {
            let mut room = std::pin::pin!(self.0.room.notified());
            // From here on no notice is missed.
            room.as_mut().enable();
            match self.reserve(origin, worst) {
                Err(refused) if refused.may_pass() => room.await,
                reserved => return reserved,
            }
        }
    }
}

/// Room in a purse, held until settled. Dropped without a word it is settled at its worst: a call that nobody heard the
/// end of may have been billed.
#[derive(Debug)]
#[must_use = "a reservation that is dropped is paid in full"]
pub struct Reservation {
    purse: Purse,
    scopes: [Scope; 4],
    worst: Spend,
    settled: bool,
}

impl Reservation {
    /// What was reserved.
    #[must_use]
    pub fn worst(&self) -> Spend {
        self.worst
    }

    /// Gives the room back and books what the call did cost.
    pub fn settle(mut self, actual: Spend) {
        self.close(actual);
    }

    /// Gives all of the room back: the call was not billed.
    pub fn release(mut self) {
        self.close(Spend::default());
    }

    fn close(&mut self, actual: Spend) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let mut inner = self.purse.lock();
        for scope in &self.scopes {
            let account = inner.accounts.entry(scope.clone()).or_default();
            account.reserved = account.reserved.less(self.worst);
            account.spent += actual;
        }
        drop(inner);
        self.purse.0.room.notify_waiters();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.close(self.worst);
    }
}
