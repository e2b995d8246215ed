//! Which of the protocol's operations a method and a path name.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::{MAX_NAME, error::error_body};

/// One operation of the protocol. Names are percent-decoded and between 1 and [`MAX_NAME`] bytes long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `GET /v2`.
    ServerMetadata,
    /// `GET /v2/health/live`.
    Live,
    /// `GET /v2/health/ready`.
    Ready,
    /// `POST /v2/repository/index`.
    RepositoryIndex,
    /// Anything under `/v2/models/{name}`.
    Model {
        /// Name of the model.
        name: String,
        /// The version, where the path has one.
        version: Option<String>,
        /// What to do with it.
        action: ModelAction,
    },
}

/// What is asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelAction {
    /// `GET` without a further word.
    Metadata,
    /// `GET …/ready`.
    Ready,
    /// `GET …/config`.
    Config,
    /// `GET …/stats`.
    Stats,
    /// `POST …/infer`.
    Infer,
}

/// Why method and path name no operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// No operation has this path.
    #[error("there is nothing at this path")]
    NotFound,
    /// The path has an operation, but with another method.
    #[error("this path takes {allow}")]
    MethodNotAllowed {
        /// Value of the `Allow` header.
        allow: &'static str,
    },
    /// A broken percent escape, a name that is not UTF-8, empty or too long, or has control characters.
    #[error("the path is invalid: {reason}")]
    InvalidPath {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Models are loaded and unloaded by the platform.
    #[error("models are deployed through the platform; they cannot be loaded or unloaded here")]
    RepositoryReadOnly,
}

impl Route {
    /// Reads a request's method and path (without query). `HEAD` is taken wherever `GET` is.
    pub fn parse(method: &Method, path: &str) -> Result<Route, RouteError> {
        let rest = path.strip_prefix("/v2").ok_or(RouteError::NotFound)?;
        let segments: Vec<&str> = match rest {
            "" | "/" => Vec::new(),
            // One more than the longest path has, so that a longer one is seen as such.
            _ => rest
                .strip_prefix('/')
                .ok_or(RouteError::NotFound)?
                .splitn(MOST_SEGMENTS + 1, '/')
                .collect(),
        };
        match segments.as_slice() {
            [] => get(method, Route::ServerMetadata),
            ["health", "live"] => get(method, Route::Live),
            ["health", "ready"] => get(method, Route::Ready),
            ["repository", "index"] => post(method, Route::RepositoryIndex),
            ["repository", "models", _, "load" | "unload"] => Err(RouteError::RepositoryReadOnly),
            ["models", name, "versions", version, action @ ..] => {
                model(method, name, Some(version), action)
            }
            ["models", name, action @ ..] => model(method, name, None, action),
            _ => Err(RouteError::NotFound),
        }
    }
}

const MOST_SEGMENTS: usize = 5;

fn model(
    method: &Method,
    name: &str,
    version: Option<&str>,
    action: &[&str],
) -> Result<Route, RouteError> {
    let action = match action {
        [] => ModelAction::Metadata,
        ["ready"] => ModelAction::Ready,
        ["config"] => ModelAction::Config,
        ["stats"] => ModelAction::Stats,
        ["infer"] => ModelAction::Infer,
        _ => return Err(RouteError::NotFound),
    };
    let route = Route::Model {
        name: decode_name(name)?,
        version: version.map(decode_name).transpose()?,
        action,
    };
    match action {
        ModelAction::Infer => post(method, route),
        _ => get(method, route),
    }
}

fn get(method: &Method, route: Route) -> Result<Route, RouteError> {
    match *method {
        Method::GET | Method::HEAD => Ok(route),
        _ => Err(RouteError::MethodNotAllowed { allow: "GET, HEAD" }),
    }
}

fn post(method: &Method, route: Route) -> Result<Route, RouteError> {
    match *method {
        Method::POST => Ok(route),
        _ => Err(RouteError::MethodNotAllowed { allow: "POST" }),
    }
}

fn decode_name(segment: &str) -> Result<String, RouteError> {
    let invalid = |reason| RouteError::InvalidPath { reason };
    // An escape is three bytes for one.
    if segment.len() > 3 * MAX_NAME {
        return Err(invalid("a name is too long"));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let (digits, after) = after
                .split_first_chunk::<2>()
                .ok_or_else(|| invalid("a percent escape is cut short"))?;
            let mut byte = [0u8];
            hex::decode_to_slice(digits, &mut byte)
                .map_err(|_| invalid("a percent escape is not two hexadecimal digits"))?;
            bytes.extend(byte);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    let name = String::from_utf8(bytes).map_err(|_| invalid("a name is not UTF-8"))?;
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(invalid("a name is empty or too long"));
    }
    if name.chars().any(char::is_control) {
        return Err(invalid("a name has control characters"));
    }
    Ok(name)
}

impl RouteError {
    /// Stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            RouteError::NotFound => "not-found",
            RouteError::MethodNotAllowed { .. } => "method-not-allowed",
            RouteError::InvalidPath { .. } => "invalid-path",
            RouteError::RepositoryReadOnly => "repository-read-only",
        }
    }

    /// The HTTP status to answer with.
    pub fn status(&self) -> StatusCode {
        match self {
            RouteError::NotFound => StatusCode::NOT_FOUND,
            RouteError::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            RouteError::InvalidPath { .. } => StatusCode::BAD_REQUEST,
            RouteError::RepositoryReadOnly => StatusCode::FORBIDDEN,
        }
    }

    /// Value of the `Allow` header, where the answer has to have one.
    pub fn allow(&self) -> Option<&'static str> {
        match self {
            RouteError::MethodNotAllowed { allow } => Some(allow),
            _ => None,
        }
    }

    /// The body to answer with.
    pub fn body(&self) -> Bytes {
        error_body(self.code(), &self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model(name: &str, version: Option<&str>, action: ModelAction) -> Route {
        Route::Model {
            name: name.into(),
            version: version.map(Into::into),
            action,
        }
    }

    #[test]
    fn every_path_of_the_protocol() {
        let get = |path: &str| Route::parse(&Method::GET, path);
        let post = |path: &str| Route::parse(&Method::POST, path);
        assert_eq!(get("/v2"), Ok(Route::ServerMetadata));
        assert_eq!(get("/v2/"), Ok(Route::ServerMetadata));
        assert_eq!(get("/v2/health/live"), Ok(Route::Live));
        assert_eq!(get("/v2/health/ready"), Ok(Route::Ready));
        assert_eq!(post("/v2/repository/index"), Ok(Route::RepositoryIndex));
        for (tail, action) in [
            ("", ModelAction::Metadata),
            ("/ready", ModelAction::Ready),
            ("/config", ModelAction::Config),
            ("/stats", ModelAction::Stats),
        ] {
            assert_eq!(
                get(&format!("/v2/models/iris{tail}")),
                Ok(model("iris", None, action))
            );
            assert_eq!(
                get(&format!("/v2/models/iris/versions/1{tail}")),
                Ok(model("iris", Some("1"), action))
            );
        }
        assert_eq!(
            post("/v2/models/iris/infer"),
            Ok(model("iris", None, ModelAction::Infer))
        );
        assert_eq!(
            post("/v2/models/iris/versions/2/infer"),
            Ok(model("iris", Some("2"), ModelAction::Infer))
        );
    }

    #[test]
    fn a_model_may_be_called_like_an_operation() {
        assert_eq!(
            Route::parse(&Method::GET, "/v2/models/versions/versions/ready"),
            Ok(model("versions", Some("ready"), ModelAction::Metadata))
        );
        assert_eq!(
            Route::parse(&Method::GET, "/v2/models/infer/ready"),
            Ok(model("infer", None, ModelAction::Ready))
        );
    }

    #[test]
    fn other_paths_are_not_found() {
        for path in [
            "",
            "/",
            "/v1",
            "/v20",
            "/v2x/health/live",
            "/v2//",
            "/v2/health",
            "/v2/health/live/",
            "/v2/models/iris/",
            "/v2/models/iris/explain",
            "/v2/models/iris/infer/x",
            "/v2/models/iris/versions/1/infer/x",
            "/v2/models/iris/versions/1/infer/x/y/z",
            "/v2/repository",
        ] {
            for method in [Method::GET, Method::POST] {
                let error = Route::parse(&method, path).unwrap_err();
                assert_eq!(
                    (error.code(), error.status()),
                    ("not-found", StatusCode::NOT_FOUND),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn wrong_methods_are_told_the_right_one() {
        for (method, path, allow) in [
            (Method::POST, "/v2", "GET, HEAD"),
            (Method::PUT, "/v2/health/live", "GET, HEAD"),
            (Method::DELETE, "/v2/models/iris", "GET, HEAD"),
            (Method::GET, "/v2/models/iris/infer", "POST"),
            (Method::HEAD, "/v2/models/iris/infer", "POST"),
            (Method::GET, "/v2/repository/index", "POST"),
        ] {
            let error = Route::parse(&method, path).unwrap_err();
            assert_eq!(error.allow(), Some(allow), "{method} {path}");
            assert_eq!(error.status(), StatusCode::METHOD_NOT_ALLOWED);
        }
        assert_eq!(
            Route::parse(&Method::HEAD, "/v2"),
            Ok(Route::ServerMetadata)
        );
    }

    #[test]
    fn loading_is_the_platforms_business() {
        for action in ["load", "unload"] {
            let path = format!("/v2/repository/models/iris/{action}");
            let error = Route::parse(&Method::POST, &path).unwrap_err();
            assert_eq!(
                (error.code(), error.status()),
                ("repository-read-only", StatusCode::FORBIDDEN)
            );
        }
    }

    #[test]
    fn names_are_decoded_strictly() {
        let name = |segment: &str| {
            Route::parse(&Method::GET, &format!("/v2/models/{segment}")).map(|route| match route {
                Route::Model { name, .. } => name,
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(name("a%20b%2Fc%2f%C3%A9").unwrap(), "a b/c/é");
        assert_eq!(name("a+b").unwrap(), "a+b");
        assert_eq!(name("%2525").unwrap(), "%25");
        assert_eq!(name(&"%61".repeat(MAX_NAME)).unwrap(), "a".repeat(MAX_NAME));
        for bad in ["", "%", "%4", "%zz", "%+1", "a%ff", "a%00b", "%0d%0a"] {
            assert_eq!(name(bad).unwrap_err().code(), "invalid-path", "{bad}");
        }
        for long in ["a".repeat(MAX_NAME + 1), "%61".repeat(MAX_NAME + 1)] {
            assert_eq!(name(&long).unwrap_err().status(), StatusCode::BAD_REQUEST);
        }
    }

    proptest! {
        #[test]
        fn any_name_that_is_escaped_comes_back(name in "[^\\p{Cc}]{1,60}") {
            let escaped: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let route = Route::parse(&Method::POST, &format!("/v2/models/{escaped}/infer"));
            prop_assert_eq!(route, Ok(model(&name, None, ModelAction::Infer)));
        }

        #[test]
        fn no_path_panics(path in "(/v2)?(/(models|versions|health|%?[a-f0-9é]{0,3})){0,7}") {
            let _ = Route::parse(&Method::GET, &path);
        }
    }
}
