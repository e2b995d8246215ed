//! What can go wrong with the form of a request.

use nacre_protocol::evidence::MAX_EVIDENCE_JSON;

/// A request whose form is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A path parameter.
    #[error("in the path: {0}")]
    Path(String),
    /// The query string.
    #[error("in the query: {0}")]
    Query(String),
    /// `after` is not the `next` of a page.
    #[error("after must be `next` of the page before, of the same list")]
    Cursor,
    /// `If-Match` is no list of entity tags.
    #[error("If-Match must be `*` or entity tags in quotes, separated by commas")]
    IfMatch,
    /// Not `application/json`.
    #[error("the body must have `Content-Type: application/json`")]
    ContentType,
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    Syntax(String),
    /// JSON of another shape.
    #[error("in the body: {0}")]
    Shape(String),
    /// Longer than any request of the API is.
    #[error("a JSON body may have {} KiB", MAX_JSON / 1024)]
    TooLong,
    /// The body broke off.
    #[error("the body broke off before its end")]
    Incomplete,
    /// `Idempotency-Key` is not 1 to 255 visible ASCII characters.
    #[error("Idempotency-Key must be 1 to 255 visible ASCII characters, given once")]
    IdempotencyKey,
}

/// Longest JSON body that is read.
pub const MAX_JSON: usize = 1 << 20;
const _: () = assert!(MAX_JSON > 2 * MAX_EVIDENCE_JSON);

impl RequestError {
    pub(super) fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Path(_) => (400, "path-invalid", "The path cannot be read."),
            Self::Query(_) => (400, "query-invalid", "The query cannot be read."),
            Self::Cursor => (400, "cursor-invalid", "The cursor is none of this list."),
            Self::IfMatch => (400, "if-match-invalid", "If-Match cannot be read."),
            Self::ContentType => (415, "content-type", "The body is not declared as JSON."),
            Self::Syntax(_) => (400, "json-syntax", "The body is not JSON."),
            Self::Shape(_) => (422, "json-invalid", "The body's JSON has another shape."),
            Self::TooLong => (413, "body-too-long", "The body is too long."),
            Self::Incomplete => (400, "body-incomplete", "The body broke off."),
            Self::IdempotencyKey => (
                400,
                "idempotency-key-invalid",
                "The idempotency key cannot be read.",
            ),
        }
    }
}
