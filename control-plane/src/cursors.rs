//! Cursors: where the next page of a list begins, as a text that callers hand back and do not read.
//!
//! `<position, base64url>.<tag, base64url>`: the tag is HMAC-SHA256, cut to 16 bytes, over the list, the organisation and the
//! position, under a key that all control planes of the database share. So a cursor is good at any of them and after a
//! restart, for the list and the organisation that it was made for; any other text is refused before the database is asked.

use aws_lc_rs::hmac;
use nacre_protocol::api::Page;
use nacre_protocol::encoding::{base64url, from_base64url};
use nacre_protocol::ids::OrganisationName;
use subtle::ConstantTimeEq as _;

use crate::error::RequestError;

/// Longest text that is looked at.
const MAX_CURSOR: usize = 400;
const TAG: usize = 16;

/// Makes and reads cursors.
pub(crate) struct Cursors {
    key: hmac::Key,
}

impl Cursors {
    /// With the key that the database keeps.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
        }
    }

    /// The page of `items`, of which there is one more than `limit` where the list goes on; `position` names an item's place.
    pub(crate) fn page<T>(
        &self,
        list: &str,
        organisation: &OrganisationName,
        mut items: Vec<T>,
        limit: u32,
        position: impl Fn(&T) -> String,
    ) -> Page<T> {
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let last = items.last().filter(|_| more);
        let next = last.map(|item| self.seal(list, organisation, &position(item)));
        Page { items, next }
    }

    /// The position that a cursor holds; `None` for the empty text, which is the list's beginning.
    pub(crate) fn open<P>(
        &self,
        list: &str,
        organisation: &OrganisationName,
        cursor: &str,
        read: impl Fn(&str) -> Option<P>,
    ) -> Result<Option<P>, RequestError> {
        if cursor.is_empty() {
            return Ok(None);
        }
        let position = self.verified(list, organisation, cursor);
        let position = position.and_then(|position| read(&position));
        position.map(Some).ok_or(RequestError::Cursor)
    }

    fn seal(&self, list: &str, organisation: &OrganisationName, position: &str) -> String {
        let tag = self.tag(list, organisation, position.as_bytes());
        format!("{}.{}", base64url(position.as_bytes()), base64url(&tag))
    }

    fn verified(&self, list: &str, of: &OrganisationName, cursor: &str) -> Option<String> {
        let (position, tag) = cursor
            .split_once('.')
            .filter(|_| cursor.len() <= MAX_CURSOR)?;
        let position = from_base64url(position).ok()?;
        let tag = from_base64url(tag).ok()?;
        let expected = self.tag(list, of, &position);
        let same: bool = expected.ct_eq(tag.as_slice()).into();
        same.then(|| String::from_utf8(position).ok())?
    }

    fn tag(&self, list: &str, organisation: &OrganisationName, position: &[u8]) -> [u8; TAG] {
        let mut over = hmac::Context::with_key(&self.key);
        for part in [list.as_bytes(), organisation.as_str().as_bytes(), position] {
            over.update(&(part.len() as u64).to_be_bytes());
            over.update(part);
        }
        let mut tag = [0; TAG];
        tag.copy_from_slice(&over.sign().as_ref()[..TAG]);
        tag
    }
}

impl core::fmt::Debug for Cursors {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Cursors(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursors(n: u8) -> Cursors {
        Cursors::new(&[n; 32])
    }

    fn read(cursors: &Cursors, list: &str, of: &str, text: &str) -> Option<String> {
        let of = of.parse().unwrap();
        let opened = cursors.open(list, &of, text, |position| Some(position.to_owned()));
        opened.unwrap_or(None)
    }

    #[test]
    fn a_cursor_leads_on_where_its_page_ended_and_the_last_page_has_none() {
        let (cursors, of) = (cursors(1), OrganisationName::default());
        let page = cursors.page("list", &of, vec![1, 2, 3], 2, |n| format!("at {n}"));
        assert_eq!(page.items, [1, 2]);
        let next = page.next.unwrap();
        assert_eq!(read(&cursors, "list", "default", &next).unwrap(), "at 2");
        let last = cursors.page("list", &of, vec![1, 2], 2, |n| format!("at {n}"));
        assert_eq!((last.items, last.next), (vec![1, 2], None));
    }

    #[test]
    fn a_cursor_is_good_for_its_list_its_organisation_and_its_platform_only() {
        let of = OrganisationName::default();
        let page = cursors(1).page("list", &of, vec![1, 2], 1, |n| n.to_string());
        let next = page.next.unwrap();
        assert!(read(&cursors(1), "list", "default", &next).is_some());
        assert!(read(&cursors(2), "list", "default", &next).is_none());
        assert!(read(&cursors(1), "other", "default", &next).is_none());
        assert!(read(&cursors(1), "list", "others", &next).is_none());
    }

    #[test]
    fn no_other_text_is_a_cursor() {
        let of = OrganisationName::default();
        let page = cursors(1).page("list", &of, vec![1, 2], 1, |n| n.to_string());
        let next = page.next.unwrap();
        let (position, tag) = next.split_once('.').unwrap();
        for bad in [
            ".".to_owned(),
            "1".to_owned(),
            position.to_owned(),
            format!("{position}."),
            format!(".{tag}"),
            format!("{next}A"),
            format!("Mg.{tag}"),
            format!("{}.{tag}", "A".repeat(1_000)),
            "é.é".to_owned(),
        ] {
            let opened = cursors(1).open("list", &of, &bad, |position| Some(position.to_owned()));
            assert_eq!(opened, Err(RequestError::Cursor), "{bad}");
        }
    }
}
