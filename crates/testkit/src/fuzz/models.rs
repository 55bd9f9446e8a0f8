//! What models' providers answer, and what the metering proxy has recorded of agents.

use empiric_llm::{Passed, Wire};

use super::bounded;

/// An answer over one of the protocols, chosen by the first byte, streamed or at once. Whatever is made of it can be
/// recorded and read back as it was, or is an error of few words.
pub(super) fn models(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else { return };
    let wire = [Wire::Chat, Wire::Responses, Wire::Messages][usize::from(which >> 1) % 3];
    match wire.read(which & 1 == 1, bytes) {
        Ok(reply) => {
            let kept = serde_json::to_vec(&reply).unwrap_or_else(|error| panic!("{error}"));
            let again = serde_json::from_slice(&kept).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(reply, again, "a recorded reply reads back otherwise");
        }
        Err(error) => bounded(&error),
    }
    // A record is read by the same code that metered it: no bytes at all make it fall over.
    let (request, answer) = bytes.split_at(bytes.iter().position(|byte| *byte == 0).unwrap_or(0));
    if let Some(passed) = Passed::read(request, answer.strip_prefix(b"\0").unwrap_or(answer)) {
        assert!(!passed.model.is_empty(), "a call of no model was metered");
    }
}
