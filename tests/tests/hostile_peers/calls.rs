//! What these tests send.

use bytes::Bytes;
use http::Request;

/// Stands in every request's body, and must not come where it does not belong.
pub(crate) const SECRET: &str = "the-callers-secret";

/// A call of the function that the fake enclaves serve.
pub(crate) fn infer() -> Request<Bytes> {
    let body = format!("{{\"secret\":\"{SECRET}\"}}");
    let request = Request::post("/v2/models/echo/infer").header("content-type", "application/json");
    request.body(body.into()).expect("a request")
}

/// The request with one more header.
pub(crate) fn with_header(
    mut request: Request<Bytes>,
    name: &'static str,
    value: &str,
) -> Request<Bytes> {
    request
        .headers_mut()
        .append(name, value.parse().expect("a header"));
    request
}
