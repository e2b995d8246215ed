//! Where a path goes.

use http::{Method, StatusCode};
use nacre_protocol::ids::FunctionName;

use super::refusal::Refusal;

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// To the function of this name.
    Function(FunctionName),
    /// To an enclave of any function.
    Enclave,
    /// To the only function.
    OpenAi,
    /// The proxy's own health.
    Health,
}

impl Route {
    /// Reads method and path (without query).
    pub(super) fn of(method: &Method, path: &str) -> Result<Self, Refusal> {
        let route = Self::of_path(path)?;
        match *method {
            // All that inference protocols use; asking again changes nothing.
            Method::GET | Method::HEAD | Method::POST => Ok(route),
            _ => Err(Refusal::method_not_allowed()),
        }
    }

    fn of_path(path: &str) -> Result<Self, Refusal> {
        if let Some(rest) = path.strip_prefix("/v2/models/") {
            let segment = rest.split('/').next().unwrap_or_default();
            let name = decoded(segment)?;
            return match name.parse() {
                Ok(name) => Ok(Self::Function(name)),
                Err(_) => Err(Refusal::model_not_found(&name)),
            };
        }
        match path {
            "/v2" | "/v2/" | "/v2/health/live" | "/v2/health/ready" | "/v2/repository/index" => {
                Ok(Self::Enclave)
            }
            "/healthz" => Ok(Self::Health),
            path if path.starts_with("/v1/") => Ok(Self::OpenAi),
            _ => Err(Refusal::not_found()),
        }
    }
}

/// A path segment with its percent escapes undone (RFC 3986 §2.1).
fn decoded(segment: &str) -> Result<String, Refusal> {
    let invalid = |what| Refusal::new(StatusCode::BAD_REQUEST, "invalid-path", what);
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let Some((digits, after)) = rest.split_first_chunk::<2>() else {
            return Err(invalid("a percent escape in the path is cut short"));
        };
        let digit = |at: usize| char::from(digits[at]).to_digit(16);
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(invalid(
                "a percent escape in the path is not two hex digits",
            ));
        };
        // Two hex digits are one byte.
        bytes.push((high * 16 + low) as u8);
        rest = after;
    }
    match String::from_utf8(bytes) {
        Ok(name) if name.is_empty() => Err(invalid("the path has no model name")),
        Ok(name) => Ok(name),
        Err(_) => Err(invalid("the model name in the path is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn get(path: &str) -> Result<Route, &'static str> {
        Route::of(&Method::GET, path).map_err(|refusal| refusal.code())
    }

    fn function(name: &str) -> Result<Route, &'static str> {
        Ok(Route::Function(name.parse().unwrap()))
    }

    #[test]
    fn paths_go_where_the_table_says() {
        for path in [
            "/v2/models/iris",
            "/v2/models/iris/infer",
            "/v2/models/iris/versions/1/infer",
        ] {
            assert_eq!(get(path), function("iris"), "{path}");
        }
        for path in [
            "/v2",
            "/v2/",
            "/v2/health/live",
            "/v2/health/ready",
            "/v2/repository/index",
        ] {
            assert_eq!(get(path), Ok(Route::Enclave), "{path}");
        }
        assert_eq!(get("/v1/chat/completions"), Ok(Route::OpenAi));
        assert_eq!(get("/healthz"), Ok(Route::Health));
        for path in [
            "",
            "/",
            "*",
            "/v1",
            "/v2x",
            "/v2/models",
            "/v3",
            "//v2",
            "/V2",
            "/v2/health",
            "/v2/health/live/",
            "/v2/repository/models/iris/load",
            "/.well-known/nacre/attestation",
            "/healthz/",
        ] {
            assert_eq!(get(path), Err("not-found"), "{path}");
        }
    }

    #[test]
    fn names_are_decoded_strictly() {
        assert_eq!(get("/v2/models/%69ri%73/infer"), function("iris"));
        for path in [
            "/v2/models/",
            "/v2/models//infer",
            "/v2/models/%",
            "/v2/models/%6",
            "/v2/models/%6/infer",
            "/v2/models/%zz",
            "/v2/models/%+1",
            "/v2/models/%ff",
        ] {
            assert_eq!(get(path), Err("invalid-path"), "{path}");
        }
        for path in [
            "/v2/models/Iris",
            "/v2/models/iris%2Finfer",
            "/v2/models/..",
            "/v2/models/%00",
            "/v2/models/%2569",
        ] {
            assert_eq!(get(path), Err("model-not-found"), "{path}");
        }
    }

    #[test]
    fn other_methods_are_refused() {
        for method in [
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
            Method::CONNECT,
            Method::TRACE,
            Method::PATCH,
        ] {
            let refused = Route::of(&method, "/v2/models/iris").unwrap_err();
            assert_eq!(refused.code(), "method-not-allowed", "{method}");
        }
        assert!(Route::of(&Method::HEAD, "/v2").is_ok());
        assert!(Route::of(&Method::POST, "/v2/models/iris/infer").is_ok());
    }

    proptest! {
        #[test]
        fn an_escaped_name_comes_back(name in "[a-z0-9]{1,40}") {
            let escaped: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(get(&format!("/v2/models/{escaped}")), function(&name));
        }

        #[test]
        fn no_path_panics(path in "(/v2/models)?(/(%?[a-f0-9é%]{0,4})){0,5}") {
            let _ = get(&path);
        }
    }
}
