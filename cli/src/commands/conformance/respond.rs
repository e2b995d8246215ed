//! The answering end: this repository's verifier.

use std::io::{self, BufRead, Read as _, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nacre_attestation_verifier::{
    Backend, Policy, PolicyError, ResultCode, Roots, RootsError, UnixMillis, VerificationTime,
    Verifier, VerifyError,
};
use serde::Deserialize;

use crate::commands::conformance::protocol::{Answer, MAX_REQUEST, Request, from_object};

/// Answers line by line until the input ends or nobody reads the output any more.
///
/// A line that is no request gets an answer with an `error`; the next line is read as if nothing had happened.
pub(super) fn serve(
    mut requests: impl BufRead,
    mut answers: impl Write,
    backend: Backend,
) -> io::Result<()> {
    let mut responder = Responder::new(backend);
    let mut line = Vec::new();
    while read_line(&mut requests, &mut line)? {
        let mut answer = serde_json::to_vec(&responder.answer(&line))?;
        answer.push(b'\n');
        match answers.write_all(&answer).and_then(|()| answers.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    Ok(())
}

struct Responder {
    backend: Backend,
    /// The last root's: with it, one certificate chain is verified once.
    verifier: Option<Verifier>,
}

impl Responder {
    fn new(backend: Backend) -> Self {
        Self {
            backend,
            verifier: None,
        }
    }

    fn answer(&mut self, line: &[u8]) -> Answer {
        if line.len() > MAX_REQUEST {
            return unreadable(None, format!("a request has at most {MAX_REQUEST} bytes"));
        }
        let request: Request = match from_object(line) {
            Ok(request) => request,
            Err(error) => return unreadable(id_of(line), error),
        };
        let id = Some(request.id);
        match self.judge(&request) {
            Ok(()) => verdict(id, ResultCode::Trusted, "trusted", None),
            Err(Refused::Unreadable(what)) => unreadable(id, format!("{what} is not base64")),
            Err(Refused::Policy(error)) => refused(id, error.code(), error.rule(), &error),
            Err(Refused::Roots(error)) => refused(id, error.code(), error.rule(), &error),
            Err(Refused::Evidence(error)) => refused(id, error.code(), error.rule(), &error),
        }
    }

    /// The order of the checks is the protocol's: first what is wrong with the question, then the evidence, then its
    /// binding, then its appraisal.
    fn judge(&mut self, request: &Request) -> Result<(), Refused> {
        let document = decode(&request.document, "document")?;
        let root = decode(&request.root, "root")?;
        let nonce = request.nonce.as_deref();
        let nonce = nonce.map(|nonce| decode(nonce, "nonce")).transpose()?;

        let policy = Policy::from_json(request.policy.get().as_bytes())?;
        let verifier = self.verifier(root)?;
        let at = VerificationTime::Archive(UnixMillis(request.time_ms));
        let evidence = verifier.verify(&document, at)?;
        if let Some(nonce) = nonce {
            evidence.require_nonce(&nonce)?;
        }
        evidence.appraise(&policy)?;
        Ok(())
    }

    fn verifier(&mut self, root: Vec<u8>) -> Result<&Verifier, RootsError> {
        let known = self.verifier.take();
        let verifier = match known.filter(|verifier| verifier.roots().der() == root) {
            Some(verifier) => verifier,
            None => Verifier::new(Roots::development(root)?).with_backend(self.backend),
        };
        Ok(self.verifier.insert(verifier))
    }
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0} is not base64")]
    Unreadable(&'static str),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Roots(#[from] RootsError),
    #[error(transparent)]
    Evidence(#[from] VerifyError),
}

fn decode(text: &str, what: &'static str) -> Result<Vec<u8>, Refused> {
    STANDARD.decode(text).map_err(|_| Refused::Unreadable(what))
}

fn refused(id: Option<u64>, code: ResultCode, rule: &str, error: &dyn std::error::Error) -> Answer {
    verdict(id, code, rule, Some(error.to_string()))
}

fn verdict(id: Option<u64>, code: ResultCode, rule: &str, detail: Option<String>) -> Answer {
    Answer {
        id,
        code: Some(code.exit_status().into()),
        rule: Some(rule.to_owned()),
        detail,
        ..Answer::default()
    }
}

fn unreadable(id: Option<u64>, error: String) -> Answer {
    Answer {
        id,
        error: Some(error),
        ..Answer::default()
    }
}

/// The id of a line that is no request, so that its sender can tell which one was meant.
fn id_of(line: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct OnlyId {
        id: u64,
    }
    let only: OnlyId = from_object(line).ok()?;
    Some(only.id)
}

/// Reads one line without its end; false where the input has ended. Of a line that is too long, one byte more than
/// [`MAX_REQUEST`] is kept and the rest is passed over.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let limit = MAX_REQUEST as u64 + 1;
    if input.by_ref().take(limit).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > MAX_REQUEST {
        input.skip_until(b'\n')?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::conformance::corpus;

    #[test]
    fn a_line_that_is_no_request_gets_an_error_and_the_next_one_its_answer() {
        let cases = corpus::read(corpus::EMBEDDED).unwrap();
        let case = cases.iter().find(|case| case.expect.code == 0).unwrap();
        let good = serde_json::to_string(&case.request(7)).unwrap();
        let too_long = format!("{{\"id\":1,{}}}", " ".repeat(3 * MAX_REQUEST));
        let no_nonce = good.replace(",\"nonce\":null", "");
        assert_ne!(no_nonce, good);
        let by_position = by_position(&good);
        let wrong = [
            ("", None),
            ("not JSON", None),
            ("[1]", None),
            ("\u{feff}{}", None),
            (too_long.as_str(), None),
            ("{\"id\":-1}", None),
            ("{\"id\":3}", Some(3)),
            (no_nonce.as_str(), Some(7)),
            (by_position.as_str(), None),
            (&good.replace("\"time_ms\":", "\"time_ms\":-"), Some(7)),
            (&good.replace("\"root\":\"", "\"root\":\"*"), Some(7)),
            (&good.replace("{\"id\"", "{\"more\":1,\"id\""), Some(7)),
        ];
        let lines: String = wrong.map(|(line, _)| format!("{line}\n{good}\n")).concat();
        let mut answers = Vec::new();
        serve(lines.as_bytes(), &mut answers, Backend::default()).unwrap();

        let answers = String::from_utf8(answers).unwrap();
        let answers: Vec<Answer> = answers
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(answers.len(), 2 * wrong.len());
        for (pair, (line, id)) in answers.chunks(2).zip(&wrong) {
            let line: String = line.chars().take(80).collect();
            assert_eq!(pair[0].id, *id, "{line}");
            assert!(pair[0].error.is_some() && pair[0].code.is_none(), "{line}");
            assert_eq!((pair[1].id, pair[1].code), (Some(7), Some(0)), "{line}");
        }
    }

    /// The members of an object without their names.
    fn by_position(object: &str) -> String {
        let object: Request = serde_json::from_str(object).unwrap();
        let Request {
            id,
            document,
            root,
            time_ms,
            policy,
            nonce,
        } = object;
        serde_json::to_string(&(id, document, root, time_ms, policy, nonce)).unwrap()
    }

    #[test]
    fn a_last_line_without_its_end_is_answered_as_well() {
        let mut answers = Vec::new();
        serve(&b"{}\n{}"[..], &mut answers, Backend::default()).unwrap();
        assert_eq!(answers.iter().filter(|byte| **byte == b'\n').count(), 2);
    }
}
