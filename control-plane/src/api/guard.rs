//! Who may do what, before anything else is looked at.
//!
//! The rule of each operation is its `security` in the OpenAPI document: what is described is what holds, and an operation
//! that names no scope opens to no key. A caller is refused here, before the path's ids, the query or the body are read, so
//! that nobody learns from an answer what there is. Paths that do not exist below `/v1` answer those only who are somebody.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use nacre_protocol::api::keys::Scope;
use serde_json::Value;
use tokio::sync::Semaphore;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::Operation;

use super::Shared;
use super::answer::{Code, refuse};
use super::document::operations;
use super::limits::Limits;
use crate::config::Config;
use crate::error::Error;
use crate::owner::Owner;
use crate::platform::{Deed, Principal};
use crate::token::Presented;

/// Refused keys that are noted at a time.
const REFUSALS_AT_ONCE: usize = 4;

/// The rules, and what checks tokens.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    platform: Shared,
    rules: Arc<HashMap<String, Vec<(Method, Rule)>>>,
    limits: Arc<Limits>,
    /// Notes about refused keys that are being written; further ones meanwhile are dropped.
    notes: Arc<Semaphore>,
}

/// Whom an operation serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rule {
    /// The operation's id.
    action: String,
    /// Also those who show no token.
    anybody: bool,
    /// Nodes, on their own paths.
    nodes: bool,
    /// Keys with all scopes of any of these sets.
    keys: Vec<BTreeSet<Scope>>,
}

impl Guard {
    /// The rules of a document.
    pub(super) fn new(platform: Shared, document: &OpenApi, config: &Config) -> Self {
        let mut document = document.clone();
        let paths = document.paths.paths.iter_mut().map(|(path, item)| {
            let rules = operations(item).map(|(method, operation)| (method, rule(operation)));
            (path.clone(), rules.collect())
        });
        Self {
            platform,
            rules: Arc::new(paths.collect()),
            limits: Arc::new(Limits::new(&config.rates, config.behind_tls_proxy)),
            notes: Arc::new(Semaphore::new(REFUSALS_AT_ONCE)),
        }
    }

    /// Lets a request in, and says who asks, if anybody had to say so.
    async fn admit(
        &self,
        request: &Parts,
        address: Option<IpAddr>,
    ) -> Result<Option<Principal>, Error> {
        self.limits.stranger(address)?;
        let rule = self.rule_of(request);
        let headers = &request.headers;
        match rule {
            Some(rule) if rule.anybody && !headers.contains_key(AUTHORIZATION) => return Ok(None),
            Some(rule) if rule.anybody && rule.keys.is_empty() => return Ok(None),
            None if !request.uri.path().starts_with("/v1/") => return Ok(None),
            _ => {}
        }
        let principal = self.platform.authenticate(bearer(headers)?).await?;
        self.limits.known(address, &principal)?;
        Ok(Some(principal))
    }

    /// Notes what a key did, if it was to change something or was refused for want of a scope. Of a gateway, which says
    /// again and again who waits, what it was refused.
    async fn note(&self, principal: &Principal, deed: Deed) {
        let looks = matches!(deed.method.as_str(), "GET" | "HEAD");
        let forbidden = deed.status == StatusCode::FORBIDDEN.as_u16();
        let (owner, key, changes) = match principal {
            Principal::Key(key) => (Owner::from(&key.organisation), &key.id, !looks),
            Principal::Gateway(key) => (Owner::Platform, key, false),
            Principal::Node(_) => return,
        };
        if !changes && !forbidden {
            return;
        }
        if let Err(error) = self.platform.note_deed(&owner, key, deed).await {
            tracing::error!(%error, %key, "the audit log lacks an entry");
        }
    }

    /// Notes that a key was refused as such. Beside the answer, which must not take longer where there is such a key.
    fn note_refused(&self, headers: &HeaderMap, deed: Deed) {
        let presented = bearer(headers).ok().and_then(Presented::parse);
        let Some(Presented::ApiKey(key, _)) = presented else {
            return;
        };
        let Ok(place) = Arc::clone(&self.notes).try_acquire_owned() else {
            return;
        };
        let deed = Deed {
            action: "authenticate".to_owned(),
            ..deed
        };
        let platform = Arc::clone(&self.platform);
        tokio::spawn(async move {
            if let Err(error) = platform.note_refused_key(&key, deed).await {
                tracing::error!(%error, %key, "the audit log lacks a refused key");
            }
            drop(place);
        });
    }

    fn deed(&self, request: &Parts, address: Option<IpAddr>) -> Deed {
        let action = self.rule_of(request).map(|rule| rule.action.clone());
        Deed {
            action: action.unwrap_or_default(),
            method: request.method.to_string(),
            path: request.uri.path().to_owned(),
            address,
            status: 0,
            code: None,
        }
    }

    fn rule_of(&self, request: &Parts) -> Option<&Rule> {
        let path = request.extensions.get::<MatchedPath>()?;
        self.rule(&request.method, path.as_str())
    }

    /// HEAD is what GET is, where nothing else is said of it.
    fn rule(&self, method: &Method, path: &str) -> Option<&Rule> {
        let rules = self.rules.get(path)?;
        let of = |wanted: &Method| rules.iter().find(|(method, _)| method == wanted);
        let found = of(method).or_else(|| match *method {
            Method::HEAD => of(&Method::GET),
            _ => None,
        });
        found.map(|(_, rule)| rule)
    }
}

impl Rule {
    fn check(&self, principal: &Principal) -> Result<(), Error> {
        match principal {
            Principal::Node(_) if self.nodes => Ok(()),
            Principal::Node(_) => Err(Error::Forbidden("this needs an API key")),
            Principal::Key(_) | Principal::Gateway(_) if self.nodes && self.keys.is_empty() => {
                Err(Error::Forbidden("this needs the node's token"))
            }
            Principal::Key(_) | Principal::Gateway(_) if self.keys.is_empty() => {
                Err(Error::Forbidden("this opens to no key"))
            }
            Principal::Key(key) => self.check_scopes(&key.scopes),
            Principal::Gateway(_) => self.check_scopes(&[Scope::Gateway].into()),
        }
    }

    fn check_scopes(&self, scopes: &BTreeSet<Scope>) -> Result<(), Error> {
        if self.keys.iter().any(|set| set.is_subset(scopes)) {
            return Ok(());
        }
        let wanted = self.keys.iter().map(words);
        Err(Error::ScopeMissing(
            wanted.collect::<Vec<_>>().join(", or "),
        ))
    }
}

fn words(scopes: &BTreeSet<Scope>) -> String {
    let words: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
    words.join(" and ")
}

/// The middleware.
pub(super) async fn pass(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let address = guard.limits.address(&request);
    let (mut parts, body) = request.into_parts();
    let principal = match guard.admit(&parts, address).await {
        Ok(Some(principal)) => principal,
        Ok(None) => return next.run(Request::from_parts(parts, body)).await,
        Err(error) => {
            let response = refuse(&error);
            if matches!(error, Error::Unauthenticated) {
                let deed = answered(guard.deed(&parts, address), &response);
                guard.note_refused(&parts.headers, deed);
            }
            return response;
        }
    };
    let deed = guard.deed(&parts, address);
    let rule = guard.rule_of(&parts);
    let response = match rule.map_or(Ok(()), |rule| rule.check(&principal)) {
        Ok(()) => {
            parts.extensions.insert(principal.clone());
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => refuse(&error),
    };
    guard.note(&principal, answered(deed, &response)).await;
    response
}

fn answered(mut deed: Deed, response: &Response) -> Deed {
    let code = response.extensions().get::<Code>();
    deed.status = response.status().as_u16();
    deed.code = code.map(|code| code.0.clone());
    deed
}

/// What an operation's `security` says. A key without scopes, or with one that there is not, opens nothing.
fn rule(operation: &Operation) -> Rule {
    let mut rule = Rule {
        action: operation.operation_id.clone().unwrap_or_default(),
        ..Rule::default()
    };
    for requirement in operation.security.iter().flatten() {
        let Ok(Value::Object(schemes)) = serde_json::to_value(requirement) else {
            continue;
        };
        rule.anybody |= schemes.is_empty();
        rule.nodes |= schemes.contains_key("node_token");
        let scopes = schemes.get("api_key").and_then(Value::as_array);
        let scopes = scopes.into_iter().flatten();
        let scopes = scopes.map(|scope| scope.as_str()?.parse().ok());
        match scopes.collect::<Option<BTreeSet<Scope>>>() {
            Some(scopes) if !scopes.is_empty() => rule.keys.push(scopes),
            _ => {}
        }
    }
    rule
}

/// The token of exactly one `Authorization: Bearer` header (RFC 6750 §2.1).
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Error> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return Err(Error::Unauthenticated);
    };
    let text = value.to_str().map_err(|_| Error::Unauthenticated)?;
    let (scheme, token) = text.split_once(' ').ok_or(Error::Unauthenticated)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(Error::Unauthenticated)
    }
}
