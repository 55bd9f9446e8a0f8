//! Why a request was not answered, in the one shape that all such replies have.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong, and what can be done about it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Problem {
    #[serde(skip)]
    status: StatusCode,
    /// What went wrong.
    pub(crate) error: String,
    /// What can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), hint: None }
    }

    /// The request itself is wrong.
    pub(crate) fn request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// There is no such thing.
    pub(crate) fn missing(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// The study is not in a state for that.
    pub(crate) fn conflict(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..Self::new(StatusCode::CONFLICT, error) }
    }

    pub(crate) fn internal(error: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

impl From<empiric_ledger::Error> for Problem {
    fn from(error: empiric_ledger::Error) -> Self {
        use empiric_ledger::Error;
        if matches!(error, Error::Missing { .. } | Error::BlobMissing(_)) {
            Self::missing(error.to_string())
        } else {
            Self::internal(error.to_string())
        }
    }
}

impl From<empiric_lineage::Error> for Problem {
    fn from(error: empiric_lineage::Error) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::internal(error.to_string())
    }
}
