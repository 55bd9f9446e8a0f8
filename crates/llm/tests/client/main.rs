//! The real client against the model server of the testkit, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test says what broke by panicking")]

mod budget;
mod faults;
mod kit;
mod proxy;
mod replay;
mod wires;
