//! The emulator's Unix socket: four bytes of length, big-endian, and then the module's own CBOR, either way.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use aws_nitro_enclaves_nsm_api::api::{Request, Response};

use super::{CALL_TIMEOUT, MAX_REQUEST, MAX_RESPONSE, Nsm, NsmError};

/// A connection to the emulator, made anew when it was lost.
#[derive(Debug)]
pub struct EmulatorSocket {
    path: PathBuf,
    stream: Option<UnixStream>,
}

impl EmulatorSocket {
    /// The emulator that listens at `path`; connects with the first request.
    pub fn new(path: PathBuf) -> Self {
        Self { path, stream: None }
    }

    fn connected(&mut self) -> io::Result<UnixStream> {
        if let Some(stream) = self.stream.take() {
            return Ok(stream);
        }
        let stream = UnixStream::connect(&self.path)?;
        stream.set_read_timeout(Some(CALL_TIMEOUT))?;
        stream.set_write_timeout(Some(CALL_TIMEOUT))?;
        Ok(stream)
    }
}

impl Nsm for EmulatorSocket {
    fn call(&mut self, request: Request) -> Result<Response, NsmError> {
        let request =
            minicbor_serde::to_vec(&request).map_err(|e| NsmError::Malformed(e.to_string()))?;
        if request.len() > MAX_REQUEST {
            return Err(NsmError::Refused(
                "the request is longer than 4096 bytes".to_owned(),
            ));
        }
        // After any failure the stream may stand inside a message, so only a stream that served is kept.
        let mut stream = self.connected()?;
        let response = exchange(&mut stream, &request)?;
        self.stream = Some(stream);
        minicbor_serde::from_slice(&response).map_err(|e| NsmError::Malformed(e.to_string()))
    }
}

fn exchange(stream: &mut UnixStream, request: &[u8]) -> Result<Vec<u8>, NsmError> {
    let length = u32::try_from(request.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), request].concat())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > MAX_RESPONSE {
        return Err(NsmError::Malformed(format!(
            "{length} bytes, more than {MAX_RESPONSE}"
        )));
    }
    let mut response = vec![0; length];
    stream.read_exact(&mut response)?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// An emulator that reads one request and answers with these bytes.
    fn answering(
        bytes: Vec<u8>,
    ) -> (
        tempfile::TempDir,
        EmulatorSocket,
        std::thread::JoinHandle<Vec<u8>>,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nsm");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&bytes).unwrap();
            request
        });
        (dir, EmulatorSocket::new(path), server)
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_be_bytes(), body].concat()
    }

    #[test]
    fn speaks_as_the_device_does() {
        // {"ExtendPCR": {"data": h'0102'}}, and the request as serde's external tagging has it.
        let answer = b"\xa1\x69ExtendPCR\xa1\x64data\x42\x01\x02";
        let (_dir, mut socket, server) = answering(framed(answer));
        let request = Request::ExtendPCR {
            index: 16,
            data: vec![7; 2],
        };
        let response = socket.call(request).unwrap();
        assert!(matches!(response, Response::ExtendPCR { data } if data == [1, 2]));
        assert_eq!(
            server.join().unwrap(),
            b"\xa1\x69ExtendPCR\xa2\x65index\x10\x64data\x42\x07\x07"
        );
    }

    #[test]
    fn reads_an_error() {
        let (_dir, mut socket, _server) = answering(framed(b"\xa1\x65Error\x6dReadOnlyIndex"));
        let response = socket.call(Request::LockPCR { index: 16 }).unwrap();
        assert!(
            matches!(response, Response::Error(code) if super::super::name(&code) == "ReadOnlyIndex")
        );
    }

    #[test]
    fn a_response_that_claims_too_much_is_refused() {
        let (_dir, mut socket, _server) = answering(u32::MAX.to_be_bytes().to_vec());
        assert!(matches!(
            socket.call(Request::GetRandom),
            Err(NsmError::Malformed(_))
        ));
    }

    #[test]
    fn a_socket_that_closes_is_an_error_and_not_kept() {
        let (_dir, mut socket, _server) = answering(Vec::new());
        assert!(matches!(
            socket.call(Request::GetRandom),
            Err(NsmError::Io(_))
        ));
        assert!(socket.stream.is_none());
    }
}
