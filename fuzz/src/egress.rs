//! The way out of an enclave: the request that the host reads, the answer that the enclave reads, the list of what is
//! allowed.
//!
//! Each function returns a refusal's rule in kebab-case; `more` is said of what is right so far and not yet whole.

use nacre_enclave::egress::Answer;
use nacre_host_proxy::egress::{MAX_HEAD, Request, RequestError};
use nacre_protocol::egress::{AllowList, AllowListError, FileUrl};

/// Reads a `CONNECT`, as the host does: what is taken can be read in one way only.
pub fn connect_request(data: &[u8]) -> Result<(), &'static str> {
    match Request::read(data) {
        Ok(Some(Request { to })) => {
            assert!(data.len() <= MAX_HEAD && data.ends_with(b"\r\n\r\n"));
            let line = format!("CONNECT {to} HTTP/1.1\r\n");
            assert!(data.starts_with(line.as_bytes()), "{to}");
            let text = core::str::from_utf8(data)
                .unwrap_or_default()
                .to_lowercase();
            let hosts = text.split("\r\n").filter(|line| line.starts_with("host:"));
            assert_eq!(hosts.count(), 1);
            assert!(!text.contains("content-length:") && !text.contains("transfer-encoding:"));
            assert_eq!(Request::read(&data[..data.len() - 1]), Ok(None));
            let followed = [data, b"\x16"].concat();
            assert_eq!(Request::read(&followed), Err(RequestError::Early));
            Ok(())
        }
        Ok(None) => {
            assert!(data.len() < MAX_HEAD);
            Err("more")
        }
        Err(RequestError::TooLong) => Err("too-long"),
        Err(RequestError::Method) => Err("method"),
        Err(RequestError::Target) => Err("target"),
        Err(RequestError::Header) => Err("header"),
        Err(RequestError::Early) => Err("early"),
        Err(_) => Err("malformed"),
    }
}

/// Reads an answer to `CONNECT`, as the enclave does: a tunnel is open on nothing but a whole, bare 200.
pub fn connect_answer(data: &[u8]) -> Result<(), &'static str> {
    match Answer::read(data) {
        Ok(Some(Answer::Open)) => {
            assert!(data.starts_with(b"HTTP/1.1 200") && data.ends_with(b"\r\n\r\n"));
            assert_eq!(Answer::read(&data[..data.len() - 1]), Ok(None));
            assert!(Answer::read(&[data, b"\x16"].concat()).is_err());
            Ok(())
        }
        Ok(Some(Answer::Refused { status, code })) => {
            assert!((400..600).contains(&status));
            let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(code.is_none_or(|code| code.len() <= 64 && code.bytes().all(is_plain)));
            Err("refused")
        }
        Ok(None) => Err("more"),
        Err(error) => Err(error.code()),
    }
}

/// Reads an allow-list: what is taken says the same when it is written plainly, and every name on it can be asked for.
pub fn allow_list(data: &[u8]) -> Result<(), &'static str> {
    match AllowList::from_text(data) {
        Ok(list) => {
            let mut plain = String::new();
            for to in list.destinations() {
                plain += &format!("{to}\n");
                let request = format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n");
                assert_eq!(connect_request(request.as_bytes()), Ok(()));
                let url: Result<FileUrl, _> = format!("https://{to}/x").parse();
                assert_eq!(url.as_ref().map(FileUrl::destination), Ok(to));
            }
            assert_eq!(AllowList::from_text(plain.as_bytes()), Ok(list));
            Ok(())
        }
        Err(AllowListError::TooLarge) => Err("too-large"),
        Err(AllowListError::Twice { .. }) => Err("twice"),
        Err(_) => Err("line"),
    }
}
