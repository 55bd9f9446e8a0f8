//! Language models, from a request to a recorded, paid-for reply.
//!
//! [`Models::call`] is the door: it asks the tape first, reserves from the [`Purse`], speaks the provider's [`Wire`],
//! retries what may succeed and settles what was billed. Every request and reply has canonical bytes ([`Tape`]), so that
//! a study can be run again from them without a network.
//!
//! A key never leaves a [`Secret`]. This crate reads no environment variable and knows no trial beyond its number.

mod breaker;
mod catalogue;
mod client;
mod clock;
mod error;
mod gemini;
mod http;
mod message;
mod model;
mod patience;
mod price;
mod proxy;
mod purse;
mod said;
mod secret;
mod tape;
pub mod web;
mod wire;

pub use catalogue::{Catalogue, CatalogueError, KeySource, Provider};
pub use client::{Client, Options, Replay};
pub use clock::{Clock, SystemClock};
pub use error::{Class, Error};
pub use http::Timeouts;
pub use message::{
    Choice, Content, FRAME, Format, IMAGE, Reply, Request, Role, Stop, Thinking, Tool, ToolCall,
    Turn, Wire,
};
pub use model::{BadModelId, ModelId};
pub use patience::Patience;
pub use price::{Price, Rates};
pub use proxy::{Dialect, Passed, Proxy, ProxyOptions, Tally, Visit};
pub use purse::{Caps, Limits, Part, Purse, Refused, Reservation, Scope};
pub use said::{Said, Speaker, said};
pub use secret::Secret;
pub use tape::{Call, Exchange, Models, Origin, Tape, TapeError};
