//! What answers of all operations say in their headers.

use axum::http::Method;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Header, RefOr, Required, Response, Schema};

/// Adds the answers and headers that come of rate limits, missing tokens and entity tags.
pub(super) fn describe(method: &Method, guarded: bool, operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    let mut limited = Response::new("`rate-limited`");
    let after = header(Type::Integer, "Seconds until a request is taken again");
    limited.headers.insert("Retry-After".to_owned(), after);
    responses.insert("429".to_owned(), RefOr::T(limited));
    if guarded && let Some(RefOr::T(unknown)) = responses.get_mut("401") {
        let scheme = header(Type::String, "The scheme of tokens: `Bearer`");
        unknown
            .headers
            .insert("WWW-Authenticate".to_owned(), scheme);
    }
    if method != Method::GET {
        return;
    }
    let Some(RefOr::T(found)) = responses.get_mut("200") else {
        return;
    };
    let tagged = found.content.contains_key("application/json")
        || operation.operation_id.as_deref() == Some("getBlob");
    if !tagged {
        return;
    }
    let tag = || header(Type::String, "Names this very answer; in quotes");
    found.headers.insert("ETag".to_owned(), tag());
    let mut same = Response::new("The caller has this answer already");
    same.headers.insert("ETag".to_owned(), tag());
    responses.insert("304".to_owned(), RefOr::T(same));
    let known = ParameterBuilder::new()
        .name("If-None-Match")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "`ETag`s of answers that the caller has: answered with 304 if one is this",
        ))
        .schema(Some(kind(Type::String)));
    operation
        .parameters
        .get_or_insert_default()
        .push(RefOr::T(known.build()));
}

fn header(of: Type, description: &str) -> RefOr<Header> {
    let header = HeaderBuilder::new()
        .schema(Some(kind(of)))
        .description(Some(description));
    RefOr::T(header.build())
}

fn kind(of: Type) -> Schema {
    ObjectBuilder::new()
        .schema_type(SchemaType::new(of))
        .build()
        .into()
}
