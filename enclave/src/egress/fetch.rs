//! A file by its address: one GET, the bytes handed on as they arrive.
//!
//! The caller knows the file's size and digest; here it is only seen to that no more arrives than that, in time, and
//! from allowed names. What the bytes are worth is for the digest to say.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, LOCATION, USER_AGENT,
};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use nacre_protocol::egress::FileUrl;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Egress, EgressError, time_for};

/// Most redirects that are followed for one file.
pub const MAX_REDIRECTS: usize = 5;
/// Longest head of an answer, and most headers.
const MAX_HEAD: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;

const AGENT: &str = concat!("nacre-enclave/", env!("CARGO_PKG_VERSION"));

/// What one server answered.
enum Step {
    File(Fetched),
    Elsewhere(FileUrl),
}

/// An answer whose body is to come; the connection lives with it.
struct Fetched {
    response: Response<Incoming>,
    _connection: JoinSet<()>,
}

impl Egress {
    /// Fetches a file of `size` bytes. `take` is given the bytes as they come, never more than `size` of them.
    ///
    /// # Errors
    ///
    /// [`EgressError`], also as returned by `take`. What `take` was given before is to be thrown away then.
    pub async fn fetch(
        &self,
        url: &FileUrl,
        size: u64,
        mut take: impl FnMut(&Bytes) -> Result<(), EgressError>,
    ) -> Result<(), EgressError> {
        self.check(url.destination())?;
        let _place = self.places.acquire().await;
        let deadline = Instant::now() + time_for(self.limits(), size);
        let whole = async {
            let Fetched {
                mut response,
                _connection,
            } = self.follow(url).await?;
            is_the_file_itself(&response, size)?;
            self.receive(response.body_mut(), size, &mut take).await
        };
        timeout_at(deadline, whole)
            .await
            .map_err(|_| EgressError::Timeout)?
    }

    async fn follow(&self, url: &FileUrl) -> Result<Fetched, EgressError> {
        let mut at = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            match self.ask(&at).await? {
                Step::File(fetched) => return Ok(fetched),
                Step::Elsewhere(next) => at = next,
            }
        }
        Err(EgressError::TooManyRedirects)
    }

    async fn ask(&self, url: &FileUrl) -> Result<Step, EgressError> {
        let stream = self.connect(url.destination()).await?;
        let handshake = http1::Builder::new()
            .max_header_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Its failure is told to who waits for the answer.
            let _ = connection.await;
        });
        let answer = timeout(self.limits().idle, sender.send_request(request(url)?));
        let response = answer.await.map_err(|_| EgressError::Timeout)??;
        match response.status() {
            StatusCode::OK => Ok(Step::File(Fetched {
                response,
                _connection: driver,
            })),
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => {
                let location = response.headers().get(LOCATION);
                let location = location.and_then(|value| value.to_str().ok());
                let location = location.ok_or(EgressError::RedirectMissing)?;
                Ok(Step::Elsewhere(url.redirected(location)?))
            }
            other => Err(EgressError::Status(other.as_u16())),
        }
    }

    async fn receive(
        &self,
        body: &mut Incoming,
        size: u64,
        take: &mut impl FnMut(&Bytes) -> Result<(), EgressError>,
    ) -> Result<(), EgressError> {
        let mut came = 0;
        loop {
            let frame = timeout(self.limits().idle, body.frame()).await;
            let Some(frame) = frame.map_err(|_| EgressError::Timeout)? else {
                break;
            };
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            came += data.len() as u64;
            if came > size {
                break;
            }
            take(&data)?;
        }
        match came == size {
            true => Ok(()),
            false => Err(wrong_length(size, came)),
        }
    }
}

fn request(url: &FileUrl) -> Result<Request<Empty<Bytes>>, EgressError> {
    let malformed = |_| EgressError::NotTheFile(format!("{url} cannot be asked for"));
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = url.target().parse().map_err(malformed)?;
    let host = HeaderValue::from_str(url.authority());
    let host = host.map_err(|_| EgressError::NotTheFile(format!("{url} has no host")))?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

/// Refuses before the first byte what cannot be the file: its digest is that of the bytes as they lie on disk.
fn is_the_file_itself(response: &Response<Incoming>, size: u64) -> Result<(), EgressError> {
    let headers = response.headers();
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(EgressError::NotTheFile("it is encoded".to_owned()));
    }
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    match announced {
        Some(announced) if announced != size => Err(wrong_length(size, announced)),
        _ => Ok(()),
    }
}

fn wrong_length(size: u64, came: u64) -> EgressError {
    let how = if came > size { "more than " } else { "" };
    EgressError::NotTheFile(format!(
        "the file has {size} bytes, and {how}{} came",
        came.min(size)
    ))
}
