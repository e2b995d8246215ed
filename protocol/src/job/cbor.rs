//! What the job formats' codecs share: deterministic CBOR (RFC 8949 §4.2), maps with integer keys in order.
//!
//! The large field is the last of its map. So that a large one need not be encoded again to see whether its encoding is the
//! one there is, a writer makes the *head*, everything before the last field's bytes, and a reader compares that.

use core::convert::Infallible;

use minicbor::{Decoder, Encoder, encode};

use crate::encoding::from_base64url;

/// Bytes that are not what their media type says, in its one encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a {what}: {why}")]
pub struct JobSyntaxError {
    what: &'static str,
    why: &'static str,
}

impl JobSyntaxError {
    pub(crate) const fn new(what: &'static str, why: &'static str) -> Self {
        Self { what, why }
    }

    /// Stable code.
    pub fn code(&self) -> &'static str {
        "job-malformed"
    }
}

pub(crate) type Writer<'a> = Encoder<&'a mut Vec<u8>>;
pub(crate) type Written = Result<(), encode::Error<Infallible>>;

/// What `write` encodes, with room for `more` bytes after it.
pub(crate) fn encoded(more: usize, write: impl FnOnce(&mut Writer<'_>) -> Written) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + more);
    match write(&mut Encoder::new(&mut out)) {
        Ok(()) => out,
        Err(e) => match e.into_write() {
            Some(never) => match never {},
            None => unreachable!("no custom encoder is called"),
        },
    }
}

/// What a header's value of at most `limit` bytes before base64url encodes.
pub(crate) fn header_bytes(
    what: &'static str,
    value: &str,
    limit: usize,
) -> Result<Vec<u8>, JobSyntaxError> {
    if value.len() > limit * 4 / 3 + 4 {
        return Err(JobSyntaxError::new(what, "too long"));
    }
    from_base64url(value).map_err(|_| JobSyntaxError::new(what, "not base64url"))
}

/// Reads one map of a known number of fields whose keys are 1, 2, 3, …; the first field is the version, 1.
pub(crate) struct Fields<'b> {
    what: &'static str,
    bytes: &'b [u8],
    decoder: Decoder<'b>,
    next: u8,
}

impl<'b> Fields<'b> {
    pub(crate) fn of(
        what: &'static str,
        bytes: &'b [u8],
        limit: usize,
        count: u64,
    ) -> Result<Self, JobSyntaxError> {
        Self::of_version(what, bytes, limit, &[count]).map(|(fields, _)| fields)
    }

    /// The same of a format with several versions, 1, 2, …, each of which has so many fields; the version, too.
    pub(crate) fn of_version(
        what: &'static str,
        bytes: &'b [u8],
        limit: usize,
        counts: &[u64],
    ) -> Result<(Self, u64), JobSyntaxError> {
        let mut fields = Self {
            what,
            bytes,
            decoder: Decoder::new(bytes),
            next: 1,
        };
        if bytes.len() > limit {
            return Err(fields.wrong("too long"));
        }
        let count = fields.decoder.map().ok().flatten();
        let count = count.filter(|count| counts.contains(count));
        let count = count.ok_or_else(|| fields.wrong("not a map of its fields"))?;
        let version = fields.uint()?;
        let fits = (1..).zip(counts).any(|of| of == (version, &count));
        match fits {
            true => Ok((fields, version)),
            false => Err(fields.wrong("an unknown version")),
        }
    }

    pub(crate) fn uint(&mut self) -> Result<u64, JobSyntaxError> {
        let value = self.value()?.u64();
        value.map_err(|_| self.wrong("a number is missing"))
    }

    pub(crate) fn status(&mut self) -> Result<u16, JobSyntaxError> {
        let status = u16::try_from(self.uint()?).ok();
        let valid = status.filter(|status| (100..1000).contains(status));
        valid.ok_or_else(|| self.wrong("the status is none of HTTP"))
    }

    pub(crate) fn text(&mut self, limit: usize) -> Result<&'b str, JobSyntaxError> {
        let text = self.value()?.str().ok();
        let short = text.filter(|text| text.len() <= limit);
        short.ok_or_else(|| self.wrong("a text is missing or too long"))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'b [u8], JobSyntaxError> {
        let bytes = self.value()?.bytes();
        bytes.map_err(|_| self.wrong("a byte string is missing"))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], JobSyntaxError> {
        let bytes = self.bytes()?;
        let array = bytes.try_into();
        array.map_err(|_| self.wrong("a byte string has the wrong length"))
    }

    /// The decoder, before the next field's value.
    pub(crate) fn value(&mut self) -> Result<&mut Decoder<'b>, JobSyntaxError> {
        if self.decoder.u8().ok() != Some(self.next) {
            return Err(self.wrong("its keys are not in order"));
        }
        self.next += 1;
        Ok(&mut self.decoder)
    }

    /// One item inside the field that was begun with [`Self::value`].
    pub(crate) fn item<T>(
        &mut self,
        read: impl FnOnce(&mut Decoder<'b>) -> Option<T>,
    ) -> Option<T> {
        read(&mut self.decoder)
    }

    /// After the last field, whose bytes are `last`: nothing follows, and `head` is what stands before it.
    pub(crate) fn end(self, head: &[u8], last: &[u8]) -> Result<(), JobSyntaxError> {
        let before = self.bytes.len().checked_sub(last.len());
        let same = self.decoder.position() == self.bytes.len()
            && before.is_some_and(|before| self.bytes.get(..before) == Some(head));
        if same {
            Ok(())
        } else {
            Err(self.wrong("not deterministic CBOR, or bytes after its end"))
        }
    }

    pub(crate) fn wrong(&self, why: &'static str) -> JobSyntaxError {
        JobSyntaxError::new(self.what, why)
    }
}
