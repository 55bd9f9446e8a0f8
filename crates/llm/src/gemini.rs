//! As much of Google's generateContent as metering needs: where the cap on output stands, and what was billed.

use empiric_core::Usage;
use serde_json::{Value, json};

/// The model in a path such as `/v1beta/models/gemini-2.5-pro:streamGenerateContent`, and whether the answer is streamed.
pub(crate) fn model_in(path: &str) -> Option<(&str, bool)> {
    let (head, verb) = path.rsplit_once(':')?;
    let stream = match verb {
        "generateContent" => false,
        "streamGenerateContent" => true,
        _ => return None,
    };
    let (_, model) = head.rsplit_once("models/")?;
    Some((model, stream))
}

/// Where the most tokens of output stand in a request.
pub(crate) fn most_output(body: &mut Value) -> &mut Value {
    if !body["generationConfig"].is_object() {
        body["generationConfig"] = json!({});
    }
    &mut body["generationConfig"]["maxOutputTokens"]
}

/// What was billed, in one answer or in the last chunk that says so.
pub(crate) fn usage(body: &Value) -> Option<Usage> {
    let counts = body.get("usageMetadata")?;
    let count = |name: &str| counts[name].as_u64();
    let read =
        count("promptTokenCount")?.saturating_add(count("toolUsePromptTokenCount").unwrap_or(0));
    let cached = count("cachedContentTokenCount").unwrap_or(0).min(read);
    let output = count("candidatesTokenCount")
        .unwrap_or(0)
        .saturating_add(count("thoughtsTokenCount").unwrap_or(0));
    Some(Usage { input: read - cached, cached, written: 0, output })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_caps_and_counts() {
        let path = "/v1beta/models/gemini-2.5-pro:streamGenerateContent";
        assert_eq!(model_in(path), Some(("gemini-2.5-pro", true)));
        assert_eq!(model_in("/v1beta/models/gemini-2.5-pro:countTokens"), None);
        let mut body = json!({"contents": []});
        *most_output(&mut body) = 5.into();
        assert_eq!(body["generationConfig"]["maxOutputTokens"], 5);
        let answer = json!({"usageMetadata": {
            "promptTokenCount": 100, "cachedContentTokenCount": 30, "candidatesTokenCount": 7, "thoughtsTokenCount": 20,
        }});
        assert_eq!(usage(&answer), Some(Usage { input: 70, cached: 30, written: 0, output: 27 }));
        assert_eq!(usage(&json!({"candidates": []})), None);
    }
}
