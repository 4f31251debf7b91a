//! Problem details (RFC 9457): what was wrong, in a form for people and for programs.

use serde::{Deserialize, Serialize};

/// The body of every error reply, `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type", default = "blank")]
    pub kind: String,
    /// The status, in words.
    pub title: String,
    /// The status code.
    pub status: u16,
    /// What was wrong this time, and what was expected.
    #[serde(default)]
    pub detail: String,
}

fn blank() -> String {
    "about:blank".into()
}

impl Problem {
    /// The media type of a problem document.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// A problem with `status` and what was wrong.
    #[must_use]
    pub fn new(status: http::StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: blank(),
            title: status.canonical_reason().unwrap_or("Unknown").into(),
            status: status.as_u16(),
            detail: detail.into(),
        }
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The `detail` of a reply's body, where that is a problem document; for clients.
    #[must_use]
    pub fn detail_of(body: &[u8]) -> Option<String> {
        serde_json::from_slice::<Self>(body).ok().map(|problem| problem.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_survives_the_wire() {
        let problem = Problem::new(http::StatusCode::CONFLICT, "byte 7 differs");
        let json = problem.to_json();
        assert!(json.contains("\"type\":\"about:blank\"") && json.contains("\"status\":409"));
        assert_eq!(serde_json::from_str::<Problem>(&json).unwrap(), problem);
        assert_eq!(Problem::detail_of(json.as_bytes()).as_deref(), Some("byte 7 differs"));
    }
}
