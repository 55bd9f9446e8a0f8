//! The real client against the model server of the testkit, over real sockets.

mod budget;
mod faults;
mod kit;
mod replay;
mod wires;
