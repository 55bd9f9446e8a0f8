//! Language models, from a request to a recorded, paid-for reply.
//!
//! [`Models::call`] is the door: it asks the tape first, reserves from the [`Purse`], speaks the provider's [`Wire`],
//! retries what may succeed and settles what was billed. Every request and reply has canonical bytes ([`Tape`]), so that
//! a study can be run again from them without a network.
//!
//! A key never leaves a [`Secret`]. This crate reads no environment variable and knows no trial beyond its number.

mod error;
mod message;
mod model;
mod purse;
mod secret;
mod tape;

pub use error::{Class, Error};
pub use message::{
    Choice, Content, FRAME, Format, IMAGE, Reply, Request, Role, Stop, Thinking, Tool, ToolCall,
    Turn, Wire,
};
pub use model::{BadModelId, ModelId};
pub use purse::{Caps, Limits, Part, Purse, Refused, Reservation, Scope};
pub use secret::Secret;
pub use tape::{Call, Exchange, Models, Origin, Tape, TapeError};
