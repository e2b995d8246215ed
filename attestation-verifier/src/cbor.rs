//! A strict, bounded reader for the CBOR that a Nitro document is made of (RFC 8949).
//!
//! It is stricter than the RFC's well-formedness, because a verifier wants one reading of every input: lengths and
//! integers must be in their shortest form (§4.2.1), strings come in one piece, and nothing is allocated before the
//! bytes for it are known to be there. Indefinite length exists only where a caller asks for it
//! ([`Reader::top_map`]) and inside values that are skipped.

use crate::error::CborError;

/// How deep arrays, maps and tags may nest inside a value that is skipped.
pub(crate) const MAX_DEPTH: u8 = 8;

/// How many data items a value that is skipped may hold.
pub(crate) const MAX_SKIPPED_ITEMS: usize = 256;

/// A cursor over bytes that have not been trusted yet.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Ends the reading: bytes that are left over are an error.
    pub(crate) fn finish(self) -> Result<(), CborError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(CborError::TrailingBytes)
        }
    }

    /// Takes the tag `number` if it comes next.
    pub(crate) fn optional_tag(&mut self, number: u64) -> Result<(), CborError> {
        if self.peek()? >> 5 != MAJOR_TAG {
            return Ok(());
        }
        match self.argument(MAJOR_TAG)? {
            found if found == number => Ok(()),
            _ => Err(CborError::UnexpectedType),
        }
    }

    /// The number of elements of a definite-length array.
    pub(crate) fn array(&mut self) -> Result<u64, CborError> {
        self.argument(MAJOR_ARRAY)
    }

    /// The number of entries of a definite-length map.
    pub(crate) fn map(&mut self) -> Result<u64, CborError> {
        self.argument(MAJOR_MAP)
    }

    /// The start of a map that may be of either form: `Some(entries)`, or `None` where [`Reader::at_break`] ends it.
    pub(crate) fn top_map(&mut self) -> Result<Option<u64>, CborError> {
        if self.peek()? == INDEFINITE_MAP {
            self.byte()?;
            return Ok(None);
        }
        self.map().map(Some)
    }

    /// Takes the break byte of an indefinite-length map if it comes next.
    pub(crate) fn at_break(&mut self) -> Result<bool, CborError> {
        let found = self.peek()? == BREAK;
        if found {
            self.byte()?;
        }
        Ok(found)
    }

    /// An unsigned integer.
    pub(crate) fn uint(&mut self) -> Result<u64, CborError> {
        self.argument(MAJOR_UINT)
    }

    /// A byte string in one piece.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let length = self.argument(MAJOR_BYTES)?;
        self.take(length)
    }

    /// A text string in one piece, valid UTF-8.
    pub(crate) fn text(&mut self) -> Result<&'a str, CborError> {
        let length = self.argument(MAJOR_TEXT)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| CborError::InvalidUtf8)
    }

    /// `null` or a byte string in one piece.
    pub(crate) fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, CborError> {
        if self.peek()? == NULL {
            self.byte()?;
            return Ok(None);
        }
        self.bytes().map(Some)
    }

    /// Reads one value of any type and forgets it; bounded by [`MAX_DEPTH`] and [`MAX_SKIPPED_ITEMS`].
    pub(crate) fn skip_value(&mut self) -> Result<(), CborError> {
        let mut budget = MAX_SKIPPED_ITEMS;
        self.skip(MAX_DEPTH, &mut budget)
    }

    fn skip(&mut self, depth: u8, budget: &mut usize) -> Result<(), CborError> {
        *budget = budget.checked_sub(1).ok_or(CborError::TooManyItems)?;
        let initial = self.peek()?;
        match initial >> 5 {
            MAJOR_BYTES => self.bytes().map(drop),
            MAJOR_TEXT => self.text().map(drop),
            MAJOR_SIMPLE => self.skip_simple(),
            major @ (MAJOR_ARRAY | MAJOR_MAP | MAJOR_TAG) => {
                let depth = depth.checked_sub(1).ok_or(CborError::TooDeep)?;
                self.skip_container(major, depth, budget)
            }
            major => self.argument(major).map(drop),
        }
    }

    fn skip_container(
        &mut self,
        major: u8,
        depth: u8,
        budget: &mut usize,
    ) -> Result<(), CborError> {
        let values_per_entry = if major == MAJOR_MAP { 2 } else { 1 };
        if major != MAJOR_TAG && self.peek()? & 0x1f == INDEFINITE {
            self.byte()?;
            while !self.at_break()? {
                for _ in 0..values_per_entry {
                    self.skip(depth, budget)?;
                }
            }
            return Ok(());
        }
        let argument = self.argument(major)?;
        let entries = if major == MAJOR_TAG { 1 } else { argument };
        for _ in 0..entries {
            for _ in 0..values_per_entry {
                self.skip(depth, budget)?;
            }
        }
        Ok(())
    }

    /// `false`, `true`, `null`, `undefined`, other simple values and floats (RFC 8949 §3.3).
    fn skip_simple(&mut self) -> Result<(), CborError> {
        match self.byte()? & 0x1f {
            0..=23 => Ok(()),
            24 => match self.byte()? {
                0..=31 => Err(CborError::NotShortest),
                _ => Ok(()),
            },
            25 => self.take(2).map(drop),
            26 => self.take(4).map(drop),
            27 => self.take(8).map(drop),
            INDEFINITE => Err(CborError::UnexpectedBreak),
            _ => Err(CborError::Reserved),
        }
    }

    /// The argument of a head that must be of the given major type, in its shortest form.
    fn argument(&mut self, major: u8) -> Result<u64, CborError> {
        let initial = self.peek()?;
        if initial == BREAK {
            return Err(CborError::UnexpectedBreak);
        }
        if initial >> 5 != major {
            return Err(CborError::UnexpectedType);
        }
        self.byte()?;
        let (value, least) = match initial & 0x1f {
            small @ 0..=23 => return Ok(u64::from(small)),
            24 => (self.big_endian(1)?, 24),
            25 => (self.big_endian(2)?, 1 << 8),
            26 => (self.big_endian(4)?, 1 << 16),
            27 => (self.big_endian(8)?, 1 << 32),
            INDEFINITE if major == MAJOR_BYTES || major == MAJOR_TEXT => {
                return Err(CborError::ChunkedString);
            }
            INDEFINITE if major == MAJOR_ARRAY || major == MAJOR_MAP => {
                return Err(CborError::IndefiniteLength);
            }
            _ => return Err(CborError::Reserved),
        };
        if value < least {
            return Err(CborError::NotShortest);
        }
        Ok(value)
    }

    fn big_endian(&mut self, length: u64) -> Result<u64, CborError> {
        let bytes = self.take(length)?;
        Ok(bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], CborError> {
        let length = usize::try_from(length).map_err(|_| CborError::Truncated)?;
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, CborError> {
        let (first, rest) = self.rest.split_first().ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    fn peek(&self) -> Result<u8, CborError> {
        self.rest.first().copied().ok_or(CborError::Truncated)
    }
}

// Major types, RFC 8949 §3.1.
const MAJOR_UINT: u8 = 0;
const MAJOR_BYTES: u8 = 2;
const MAJOR_TEXT: u8 = 3;
const MAJOR_ARRAY: u8 = 4;
const MAJOR_MAP: u8 = 5;
const MAJOR_TAG: u8 = 6;
const MAJOR_SIMPLE: u8 = 7;

/// The additional information that means "indefinite length", or "break" in major type 7.
const INDEFINITE: u8 = 31;
const INDEFINITE_MAP: u8 = 0xbf;
const BREAK: u8 = 0xff;
const NULL: u8 = 0xf6;

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(bytes: &[u8]) -> Result<(), CborError> {
        let mut reader = Reader::new(bytes);
        reader.skip_value()?;
        reader.finish()
    }

    #[test]
    fn skips_every_kind_of_value() {
        for value in [
            &[0x17][..],                                 // 23
            &[0x38, 0x22],                               // -35
            &[0x43, 1, 2, 3],                            // h'010203'
            &[0x61, b'a'],                               // "a"
            &[0x82, 0xf6, 0xa1, 0x01, 0x80],             // [null, {1: []}]
            &[0x9f, 0x01, 0xbf, 0x01, 0x02, 0xff, 0xff], // [_ 1, {_ 1: 2}]
            &[0xc1, 0x1a, 0x65, 0, 0, 0],                // 1(1694498816)
            &[0xf9, 0x3c, 0x00],                         // 1.0 as half
            &[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],       // 1.0 as double
            &[0xf8, 0xff],                               // simple(255)
        ] {
            assert_eq!(skip(value), Ok(()), "{value:02x?}");
        }
    }

    #[test]
    fn refuses_what_is_not_well_formed_or_not_shortest() {
        for (value, error) in [
            (&[][..], CborError::Truncated),
            (&[0x18, 0x17], CborError::NotShortest),
            (&[0x19, 0x00, 0xff], CborError::NotShortest),
            (&[0x1a, 0x00, 0x00, 0xff, 0xff], CborError::NotShortest),
            (
                &[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
                CborError::NotShortest,
            ),
            (&[0x58, 0x01, 0x00], CborError::NotShortest),
            (&[0xf8, 0x1f], CborError::NotShortest),
            (&[0x1c], CborError::Reserved),
            (&[0xfc], CborError::Reserved),
            (&[0x1f], CborError::Reserved),
            (&[0xdf], CborError::Reserved),
            (&[0x5f, 0x41, 0x00, 0xff], CborError::ChunkedString),
            (&[0x7f, 0x61, b'a', 0xff], CborError::ChunkedString),
            (&[0x62, 0xc3, 0x28], CborError::InvalidUtf8),
            (&[0xff], CborError::UnexpectedBreak),
            (&[0xbf, 0x01, 0xff], CborError::UnexpectedBreak),
            (&[0x81], CborError::Truncated),
            (
                &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                CborError::Truncated,
            ),
            (&[0x01, 0x01], CborError::TrailingBytes),
        ] {
            assert_eq!(skip(value), Err(error), "{value:02x?}");
        }
    }

    #[test]
    fn bounds_depth_and_count() {
        let nested = |depth: u8| {
            let mut bytes = vec![0x81; usize::from(depth)];
            bytes.push(0x00);
            bytes
        };
        assert_eq!(skip(&nested(MAX_DEPTH)), Ok(()));
        assert_eq!(skip(&nested(MAX_DEPTH + 1)), Err(CborError::TooDeep));
        assert_eq!(
            skip(&[[0xc1; 9].as_slice(), &[0]].concat()),
            Err(CborError::TooDeep)
        );

        let array = |items: u8| [&[0x98, items][..], &vec![0; usize::from(items)]].concat();
        assert_eq!(skip(&array(255)), Ok(()));
        let too_many = [&[0x99, 1, 0][..], &[0; 256]].concat();
        assert_eq!(skip(&too_many), Err(CborError::TooManyItems));
        assert_eq!(
            skip(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            Err(CborError::Truncated)
        );
    }

    #[test]
    fn known_containers_are_definite_except_the_top_map() {
        assert_eq!(
            Reader::new(&[0x9f, 0xff]).array(),
            Err(CborError::IndefiniteLength)
        );
        assert_eq!(
            Reader::new(&[0xbf, 0xff]).map(),
            Err(CborError::IndefiniteLength)
        );
        assert_eq!(Reader::new(&[0xbf, 0xff]).top_map(), Ok(None));
        assert_eq!(Reader::new(&[0xa3]).top_map(), Ok(Some(3)));
    }
}
