//! Which operation of the control channel a request names.

use http::Method;
use nacre_protocol::control::RunJob;
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{FunctionName, JobId};
use nacre_protocol::problem::Problem;

/// Longest time that a request for events or usage may wait.
pub(super) const MAX_WAIT_MS: u64 = 30_000;

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ControlRoute {
    Status,
    Evidence,
    Consent,
    HasBlob(Digest),
    PutBlob(Digest),
    Load(FunctionName),
    Delete(FunctionName),
    Events(EventQuery),
    RunJob(RunJob),
    Usage(EventQuery),
    AcknowledgeUsage,
}

/// The query of `GET /v1/events` and `GET /v1/usage`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct EventQuery {
    pub(super) after: u64,
    pub(super) wait_ms: u64,
}

impl ControlRoute {
    pub(super) fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Self, Problem> {
        let segments: Vec<&str> = path.split('/').skip(1).take(4).collect();
        match (segments.as_slice(), method) {
            (["v1", "status"], &Method::GET) => Ok(Self::Status),
            (["v1", "evidence"], &Method::POST) => Ok(Self::Evidence),
            (["v1", "consent"], &Method::POST) => Ok(Self::Consent),
            (["v1", "events"], &Method::GET) => Ok(Self::Events(EventQuery::parse(query)?)),
            (["v1", "jobs", job], &Method::POST) => Ok(Self::RunJob(parse_job(job, query)?)),
            (["v1", "usage"], &Method::GET) => Ok(Self::Usage(EventQuery::parse(query)?)),
            (["v1", "usage", "acknowledged"], &Method::PUT) => Ok(Self::AcknowledgeUsage),
            (["v1", "blobs", digest], &Method::HEAD) => Ok(Self::HasBlob(parse_digest(digest)?)),
            (["v1", "blobs", digest], &Method::PUT) => Ok(Self::PutBlob(parse_digest(digest)?)),
            (["v1", "functions", name], &Method::PUT) => Ok(Self::Load(parse_name(name)?)),
            (["v1", "functions", name], &Method::DELETE) => Ok(Self::Delete(parse_name(name)?)),
            (["v1", "status" | "events" | "usage"], _) => Err(not_allowed("GET")),
            (["v1", "evidence" | "consent"] | ["v1", "jobs", _], _) => Err(not_allowed("POST")),
            (["v1", "usage", "acknowledged"], _) => Err(not_allowed("PUT")),
            (["v1", "blobs", _], _) => Err(not_allowed("HEAD, PUT")),
            (["v1", "functions", _], _) => Err(not_allowed("PUT, DELETE")),
            _ => Err(Problem::new(
                404,
                "not-found",
                "There is nothing at this path",
            )),
        }
    }
}

impl EventQuery {
    fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let mut parsed = Self::default();
        for pair in query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = || {
                value.parse().map_err(|_| {
                    let problem = Problem::new(400, "query-malformed", "The query is malformed");
                    problem.with_detail(format!("{key} must be a number"))
                })
            };
            match key {
                "after" => parsed.after = number()?,
                "wait_ms" => parsed.wait_ms = number()?.min(MAX_WAIT_MS),
                _ => {
                    let problem = Problem::new(400, "query-malformed", "The query is malformed");
                    return Err(problem.with_detail("it takes `after` and `wait_ms`"));
                }
            }
        }
        Ok(parsed)
    }
}

fn parse_digest(text: &str) -> Result<Digest, Problem> {
    text.parse().map_err(|error| {
        Problem::new(400, "digest-malformed", "Not a digest").with_detail(format!("{error}"))
    })
}

fn parse_name(text: &str) -> Result<FunctionName, Problem> {
    text.parse().map_err(|error| {
        Problem::new(400, "name-malformed", "Not a function's name").with_detail(format!("{error}"))
    })
}

fn parse_job(id: &str, query: Option<&str>) -> Result<RunJob, Problem> {
    let malformed = |error: &dyn std::error::Error| {
        Problem::new(400, "job-query-malformed", "Not the request for a job")
            .with_detail(error.to_string())
    };
    let id: JobId = id.parse().map_err(|error| malformed(&error))?;
    RunJob::parse(id, query.unwrap_or_default()).map_err(|error| malformed(&error))
}

/// The methods are the detail, and the `allow` header.
fn not_allowed(allow: &'static str) -> Problem {
    Problem::new(405, "method-not-allowed", "This path takes other methods").with_detail(allow)
}

#[cfg(test)]
mod tests {
    use nacre_protocol::job::JobTerms;
    use proptest::prelude::*;

    use super::*;

    fn parse(method: Method, path: &str) -> Result<ControlRoute, (u16, String)> {
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        ControlRoute::parse(&method, path, query).map_err(|problem| (problem.status, problem.code))
    }

    #[test]
    fn every_row_of_the_contract() {
        let digest = Digest::of(b"x");
        let iris: FunctionName = "iris".parse().unwrap();
        let blob = format!("/v1/blobs/{digest}");
        assert_eq!(parse(Method::GET, "/v1/status"), Ok(ControlRoute::Status));
        assert_eq!(
            parse(Method::POST, "/v1/evidence"),
            Ok(ControlRoute::Evidence)
        );
        assert_eq!(
            parse(Method::POST, "/v1/consent"),
            Ok(ControlRoute::Consent)
        );
        assert_eq!(
            parse(Method::HEAD, &blob),
            Ok(ControlRoute::HasBlob(digest))
        );
        assert_eq!(parse(Method::PUT, &blob), Ok(ControlRoute::PutBlob(digest)));
        assert_eq!(
            parse(Method::PUT, "/v1/functions/iris"),
            Ok(ControlRoute::Load(iris.clone()))
        );
        assert_eq!(
            parse(Method::DELETE, "/v1/functions/iris"),
            Ok(ControlRoute::Delete(iris))
        );
        let query = EventQuery {
            after: 7,
            wait_ms: MAX_WAIT_MS,
        };
        assert_eq!(
            parse(Method::GET, "/v1/events?after=7&wait_ms=99999999"),
            Ok(ControlRoute::Events(query))
        );
        assert_eq!(
            parse(Method::GET, "/v1/events"),
            Ok(ControlRoute::Events(EventQuery::default()))
        );
        let run = RunJob {
            terms: JobTerms {
                job: JobId::from_random([1; 16]),
                function: digest,
                deadline_ms: 5,
            },
            result_key: Some([2; 32]),
            chain: None,
        };
        assert_eq!(
            parse(Method::POST, &run.path_and_query()),
            Ok(ControlRoute::RunJob(run))
        );
        assert_eq!(
            parse(Method::GET, "/v1/usage?after=7&wait_ms=99999999"),
            Ok(ControlRoute::Usage(query))
        );
        assert_eq!(
            parse(Method::PUT, "/v1/usage/acknowledged"),
            Ok(ControlRoute::AcknowledgeUsage)
        );
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "(/v1)?(/(status|events|consent|blobs|functions|jobs|usage|[a-z0-9:-]{0,4})){0,5}", query in ".{0,20}") {
            for method in [Method::GET, Method::PUT, Method::DELETE] {
                let _ = ControlRoute::parse(&method, &path, Some(&query));
            }
        }
    }

    #[test]
    fn everything_else_has_a_code() {
        for (method, path, status, code) in [
            (Method::GET, "/", 404, "not-found"),
            (Method::GET, "/v2/status", 404, "not-found"),
            (Method::GET, "/v1/status/x", 404, "not-found"),
            (Method::PUT, "/v1/functions/a/b", 404, "not-found"),
            (Method::GET, "/v1/consent", 405, "method-not-allowed"),
            (Method::POST, "/v1/consent/x", 404, "not-found"),
            (Method::POST, "/v1/status", 405, "method-not-allowed"),
            (Method::GET, "/v1/functions/iris", 405, "method-not-allowed"),
            (Method::PUT, "/v1/functions/-iris", 400, "name-malformed"),
            (Method::PUT, "/v1/blobs/sha256:00", 400, "digest-malformed"),
            (Method::GET, "/v1/jobs/x", 405, "method-not-allowed"),
            (Method::POST, "/v1/jobs/x", 400, "job-query-malformed"),
            (Method::POST, "/v1/usage", 405, "method-not-allowed"),
            (Method::POST, "/v1/usage/x", 404, "not-found"),
            (Method::GET, "/v1/events?after=x", 400, "query-malformed"),
            (Method::GET, "/v1/events?before=1", 400, "query-malformed"),
        ] {
            assert_eq!(
                parse(method, path),
                Err((status, code.to_owned())),
                "{path}"
            );
        }
    }
}
