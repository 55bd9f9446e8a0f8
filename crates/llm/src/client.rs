//! The real client: from a call to its answer, by tape, purse, breaker and patience.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use empiric_core::{BlobId, Money, Spend, Usage};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::{
    Call, Catalogue, Class, Clock, Error, Exchange, ModelId, Models, Origin, Patience, Price,
    Provider, Purse, Reply, Reservation, Secret, Tape, TapeError, Timeouts,
    breaker::{Admission, Breaker},
    http,
    patience::Strain,
    wire::{Bill, Decoded, Fault, Manner},
};

/// Everything that a client needs.
pub struct Options {
    /// Providers and prices.
    pub catalogue: Catalogue,
    /// Their keys.
    pub keys: BTreeMap<String, Secret>,
    /// What pays.
    pub purse: Purse,
    /// Where exchanges are kept, and found again; without one, nothing is.
    pub tape: Option<Arc<dyn Tape>>,
    /// How often what fails is tried again.
    pub patience: Patience,
    /// How long is waited for what.
    pub timeouts: Timeouts,
    /// Time between tries.
    pub clock: Arc<dyn Clock>,
    /// What the jitter of waits derives from.
    pub seed: u64,
}

/// Asks providers. One serves all proposers of a session.
pub struct Client {
    options: Options,
    http: reqwest::Client,
    breakers: Mutex<BTreeMap<String, Breaker>>,
    cancel: CancellationToken,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

/// An attempt's cost, as it is settled.
#[derive(Debug, Clone, Copy, Default)]
struct Billed {
    usage: Usage,
    spend: Spend,
    attempts: u32,
    /// The worst of the attempt under way.
    open: Spend,
}

impl Client {
    /// A client with threads of its own.
    ///
    /// # Errors
    /// When this machine gives no threads, or no certificates to check servers by.
    pub fn new(options: Options) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("models")
            .enable_all()
            .build()?;
        let http = http::client(options.timeouts).map_err(std::io::Error::other)?;
        let cancel = CancellationToken::new();
        Ok(Self { options, http, breakers: Mutex::default(), cancel, runtime: Some(runtime) })
    }

    /// Ends every call under way, and lets none begin.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// The most that `calls` calls with `input` tokens and `output` tokens each cost.
    ///
    /// # Errors
    /// When the price is not known.
    pub fn estimate(
        &self,
        model: &ModelId,
        calls: u64,
        input: u64,
        output: u64,
    ) -> Result<Money, Error> {
        Ok(self.price(model)?.worst(input, output).times(calls))
    }

    fn price(&self, model: &ModelId) -> Result<Price, Error> {
        self.options.catalogue.price(model).ok_or_else(|| Error::new(Class::Unpriced, model, ""))
    }

    /// Its price, or none where no cap is on money.
    fn payable(&self, model: &ModelId) -> Result<Price, Error> {
        match self.price(model) {
            Err(_) if !self.options.purse.limits().binds_money() => Ok(Price::FREE),
            price => price,
        }
    }

    fn breaker(&self, provider: &str) -> Guarded<'_> {
        let all = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        Guarded { all, provider: provider.to_owned() }
    }

    /// Waits until the provider may be asked.
    async fn admitted(&self, model: &ModelId, strain: &mut Strain) -> Result<(), Error> {
        loop {
            let admission = self.breaker(model.provider()).get().admit(self.options.clock.now());
            let Admission::Wait(wait) = admission else { return Ok(()) };
            if self.breaker(model.provider()).get().down() {
                let message = "it has not for some minutes; once it does, the same command goes on";
                return Err(Error::new(Class::Down, model, message));
            }
            let patience = &self.options.patience;
            let Some(wait) = strain.pause(patience, wait) else {
                let message = format!("{} has not answered anybody for long", model.provider());
                return Err(Error::new(Class::Overloaded { after_ms: None }, model, message));
            };
            self.options.clock.sleep(wait).await;
        }
    }

    async fn live(&self, call: &Call, billed: &mut Billed) -> Result<Reply, Error> {
        let request = &call.request;
        let model = &request.model;
        let provider = self.options.catalogue.provider(model.provider()).ok_or_else(|| {
            let known = self.options.catalogue.providers().collect::<Vec<_>>().join(", ");
            Error::new(
                Class::Unknown,
                model,
                format!("known providers are {known}; a models file can name others"),
            )
        })?;
        let key = self.key(model, provider)?;
        let price = self.payable(model)?;
        let (input, output) = (request.input_bound(), u64::from(request.max_output));
        let worst = Spend {
            calls: 1,
            tokens: input.saturating_add(output),
            money: price.worst(input, output),
        };
        let manner =
            Manner { stream: provider.stream, completion_tokens: provider.completion_tokens };
        let body = provider.wire.encode(request, manner).to_string().into_bytes();
        let mut rng = ChaCha8Rng::seed_from_u64(
            self.options.seed ^ u64::from(call.origin.trial.0) << 32 ^ u64::from(call.origin.nth),
        );
        let mut strain = Strain::default();
        loop {
            self.admitted(model, &mut strain).await?;
            let admitted = Admitted { client: self, provider: model.provider(), heard: false };
            let reservation =
                self.options.purse.reserve_when_free(&call.origin, worst).await.map_err(
                    |refused| Error::new(Class::Budget { refused: Box::new(refused) }, model, ""),
                )?;
            billed.attempts += 1;
            billed.open = worst;
            let asked =
                http::ask(&self.http, provider, key, body.clone(), self.options.timeouts).await;
            billed.open = Spend::default();
            let fault = match asked {
                Ok(Decoded { mut reply, metered }) => {
                    admitted.answered();
                    if !metered {
                        // Not told what it was, it is taken for all that it can have been.
                        let said = serde_json::to_vec(&reply.content)
                            .map_or(output, |said| said.len() as u64);
                        reply.usage = Usage { input, output: said.min(output), ..Usage::default() };
                    }
                    billed.settle(reservation, reply.usage, &price);
                    return Ok(reply);
                }
                Err(fault) => fault,
            };
            let Fault { class, message, bill } = fault;
            match bill {
                Bill::Nothing if class == Class::Network => reservation.release(),
                Bill::Nothing => billed.settle(reservation, Usage::default(), &price),
                Bill::Known(usage) => billed.settle(reservation, usage, &price),
                Bill::Unknown => {
                    billed.spend += reservation.worst();
                    drop(reservation);
                }
            }
            let unreached = class == Class::Network && bill == Bill::Nothing;
            let message = key.map_or_else(|| message.clone(), |key| key.scrub(&message));
            let error = Error { attempts: billed.attempts, ..Error::new(class, model, message) };
            // Whoever says that there are too many requests is there.
            if matches!(error.class, Class::Overloaded { .. } | Class::Network | Class::Stalled) {
                admitted.failed();
            } else {
                admitted.answered();
            }
            let met = self.breaker(model.provider()).get().met();
            if unreached && !met && billed.attempts >= self.options.patience.unmet {
                let message = format!(
                    "{}; is it running? `--base-url`, or `url` in a models file, says where it is",
                    error.message
                );
                return Err(Error {
                    attempts: billed.attempts,
                    ..Error::new(Class::Down, model, message)
                });
            }
            match strain.wait(&self.options.patience, &error.class, &mut rng) {
                Some(wait) => self.options.clock.sleep(wait).await,
                None => return Err(error),
            }
        }
    }

    fn key(&self, model: &ModelId, provider: &Provider) -> Result<Option<&Secret>, Error> {
        use crate::KeySource::{Env, File, None};
        match (self.options.keys.get(model.provider()), &provider.key) {
            (Some(key), _) => Ok(Some(key)),
            (Option::None, None) => Ok(Option::None),
            (Option::None, Env(variable)) => Err(Error::new(
                Class::Auth,
                model,
                format!("put it into the environment as {variable}"),
            )),
            (Option::None, File(path)) => {
                Err(Error::new(Class::Auth, model, format!("put it into {}", path.display())))
            }
        }
    }

    fn keep(&self, exchange: Exchange) -> Result<(), Error> {
        let Some(tape) = &self.options.tape else { return Ok(()) };
        let model = exchange.model.clone();
        tape.record(exchange).map_err(|error| Error::new(Class::Tape, model, error.to_string()))
    }
}

impl Models for Client {
    fn call(&self, call: &Call) -> Result<Reply, Error> {
        let (request, blob) = canonical(call);
        if let Some(tape) = &self.options.tape
            && let Some(answer) = played(tape.as_ref(), call, &blob)?
        {
            return answer;
        }
        let cancelled = || Error::new(Class::Cancelled, &call.request.model, "");
        let runtime = self.runtime.as_ref().ok_or_else(cancelled)?;
        let begun = self.options.clock.now();
        let mut billed = Billed::default();
        let answer = runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => Err(cancelled()),
                answer = self.live(call, &mut billed) => answer,
            }
        });
        // What was never sent cost nothing, and may go differently when what was in its way is gone.
        if billed.attempts == 0 {
            return answer;
        }
        let wall = self.options.clock.now().saturating_sub(begun);
        let Billed { usage, spend, attempts, open } = billed;
        let exchange = Exchange {
            origin: call.origin.clone(),
            model: call.request.model.clone(),
            request,
            blob,
            answer: answer_bytes(&answer),
            usage,
            // An attempt that was broken off is settled at its worst.
            spend: spend + open,
            attempts,
            wall,
        };
        self.keep(exchange)?;
        answer
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.cancel.cancel();
        // Its last owner may be an async task, which must not wait for threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Billed {
    fn settle(&mut self, reservation: Reservation, usage: Usage, price: &Price) {
        let spend = Spend { calls: 1, tokens: usage.total(), money: price.cost(&usage) };
        reservation.settle(spend);
        self.usage += usage;
        self.spend += spend;
    }
}

/// The breaker of one provider, held for a moment.
struct Guarded<'a> {
    all: MutexGuard<'a, BTreeMap<String, Breaker>>,
    provider: String,
}

impl Guarded<'_> {
    fn get(&mut self) -> &mut Breaker {
        self.all.entry(self.provider.clone()).or_default()
    }
}

/// Somebody whom a breaker let through.
struct Admitted<'a> {
    client: &'a Client,
    provider: &'a str,
    heard: bool,
}

impl Admitted<'_> {
    fn answered(mut self) {
        self.heard = true;
        self.client.breaker(self.provider).get().answered();
    }

    fn failed(mut self) {
        self.heard = true;
        let Options { clock, patience, .. } = &self.client.options;
        let (now, first) = (clock.now(), patience.first);
        self.client.breaker(self.provider).get().failed(now, first);
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if !self.heard {
            self.client.breaker(self.provider).get().abandoned();
        }
    }
}

/// Answers from a tape and from nowhere else.
pub struct Replay(pub Arc<dyn Tape>);

impl Models for Replay {
    fn call(&self, call: &Call) -> Result<Reply, Error> {
        let (_, blob) = canonical(call);
        played(self.0.as_ref(), call, &blob)?.unwrap_or_else(|| {
            let Origin { role, trial, nth, .. } = &call.origin;
            let message = format!(
                "call {nth} of {role} for {trial} has request {blob}, which was never asked there"
            );
            Err(Error::new(Class::NotRecorded, &call.request.model, message))
        })
    }
}

/// The request's canonical bytes, and their id.
fn canonical(call: &Call) -> (Vec<u8>, BlobId) {
    // Every member is a string, a number, a list or a map of such with text for keys, so this does not fail.
    let bytes = serde_json::to_vec(&call.request).unwrap_or_default();
    let blob = BlobId::of(&bytes);
    (bytes, blob)
}

/// An answer as it is recorded.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Ok(Reply),
    Err(Error),
}

fn answer_bytes(answer: &Result<Reply, Error>) -> Vec<u8> {
    let answer = match answer {
        Ok(reply) => Answer::Ok(reply.clone()),
        Err(error) => Answer::Err(error.clone()),
    };
    serde_json::to_vec(&answer).unwrap_or_default()
}

/// What the tape has for a call.
fn played(
    tape: &dyn Tape,
    call: &Call,
    blob: &BlobId,
) -> Result<Option<Result<Reply, Error>>, Error> {
    let fail = |error: TapeError| Error::new(Class::Tape, &call.request.model, error.to_string());
    let Some(bytes) = tape.recorded(&call.origin, blob).map_err(fail)? else { return Ok(None) };
    let answer = serde_json::from_slice(&bytes)
        .map_err(|error| fail(TapeError(format!("read the answer to request {blob}: {error}"))))?;
    Ok(match answer {
        Answer::Ok(reply) => Some(Ok(reply)),
        // Recorded for what it cost; asked again, it may go on.
        Answer::Err(error) if error.passes() => None,
        Answer::Err(error) => Some(Err(error)),
    })
}
