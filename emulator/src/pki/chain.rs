//! The certificates between the root and a document, and when they are replaced.
//!
//! A certificate never outlives its issuer. So when a leaf is due, each issuer is asked whether
//! a new certificate of the full lifetime still fits into its own; the first that says no is
//! replaced itself, by the same rule one level up.

use rand::rngs::StdRng;

use super::certificate::{DistinguishedName, IssueError, Issuer, Template, Validity};
use super::levels::{self, Span};
use super::{InstanceIdentity, Key, Root};

/// A leaf is replaced when less than this is left of it, in seconds. AWS shows leaves up to two
/// and a half hours old.
const LEAF_MARGIN: u64 = 30 * 60;

/// Root, regional, zonal and instance certificates and the leaf.
#[derive(Debug)]
pub struct Chain {
    identity: InstanceIdentity,
    root: Root,
    regional: Certified,
    zonal: Certified,
    instance: Certified,
    leaf: Certified,
}

/// A certificate and its key.
#[derive(Debug)]
struct Certified {
    der: Vec<u8>,
    key: Key,
    name: DistinguishedName,
    validity: Validity,
}

impl Chain {
    /// Makes all levels below `root` for a module that starts at `now_ms`.
    ///
    /// # Errors
    ///
    /// When `root` does not cover `now_ms`.
    pub fn mint(
        root: Root,
        identity: InstanceIdentity,
        rng: &mut StdRng,
        now_ms: u64,
    ) -> Result<Self, IssueError> {
        let now = now_ms / 1000;
        let regional = new_regional(&root, rng, now)?;
        let zonal = new_zonal(&root, &regional, rng, now)?;
        let instance = new_instance(&root, &zonal, &identity, rng, now)?;
        let leaf = new_leaf(&root, &instance, &identity, rng, now)?;
        Ok(Self {
            identity,
            root,
            regional,
            zonal,
            instance,
            leaf,
        })
    }

    /// Replaces what is worn out at `now_ms`, so that the leaf holds for half an hour at least.
    ///
    /// # Errors
    ///
    /// When the root does not cover `now_ms`. The chain is then as it was.
    pub fn refresh(&mut self, rng: &mut StdRng, now_ms: u64) -> Result<(), IssueError> {
        let now = now_ms / 1000;
        if self.leaf.validity.covers(now)
            && self.leaf.validity.covers(now.saturating_add(LEAF_MARGIN))
        {
            return Ok(());
        }
        if window(levels::LEAF, self.instance.validity, now).is_none() {
            if window(levels::INSTANCE, self.zonal.validity, now).is_none() {
                if window(levels::ZONAL, self.regional.validity, now).is_none() {
                    self.regional = new_regional(&self.root, rng, now)?;
                }
                self.zonal = new_zonal(&self.root, &self.regional, rng, now)?;
            }
            self.instance = new_instance(&self.root, &self.zonal, &self.identity, rng, now)?;
        }
        self.leaf = new_leaf(&self.root, &self.instance, &self.identity, rng, now)?;
        Ok(())
    }

    /// The leaf's DER.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        &self.leaf.der
    }

    /// The leaf's key, which signs documents.
    #[must_use]
    pub fn leaf_key(&self) -> &Key {
        &self.leaf.key
    }

    /// When the leaf holds.
    #[must_use]
    pub fn leaf_validity(&self) -> Validity {
        self.leaf.validity
    }

    /// The leaf's issuers, root first, DER.
    #[must_use]
    pub fn cabundle(&self) -> Vec<&[u8]> {
        vec![
            self.root.der(),
            &self.regional.der,
            &self.zonal.der,
            &self.instance.der,
        ]
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }
}

impl Certified {
    fn issue(template: &Template, key: Key, issuer: Issuer<'_>) -> Result<Self, IssueError> {
        let der = template.issue(&key, issuer)?;
        Ok(Self {
            der,
            key,
            name: template.subject.clone(),
            validity: template.validity,
        })
    }

    fn issuer(&self) -> Issuer<'_> {
        Issuer {
            name: &self.name,
            key: &self.key,
        }
    }
}

fn new_regional(root: &Root, rng: &mut StdRng, now: u64) -> Result<Certified, IssueError> {
    let validity =
        window(levels::REGIONAL, root.validity(), now).ok_or_else(|| outside(root, now))?;
    let template = levels::regional(rng, validity, root.key());
    Certified::issue(
        &template,
        Key::generate(rng),
        Issuer {
            name: &levels::root_name(),
            key: root.key(),
        },
    )
}

fn new_zonal(
    root: &Root,
    regional: &Certified,
    rng: &mut StdRng,
    now: u64,
) -> Result<Certified, IssueError> {
    let validity =
        window(levels::ZONAL, regional.validity, now).ok_or_else(|| outside(root, now))?;
    let template = levels::zonal(rng, validity, &regional.key);
    Certified::issue(&template, Key::generate(rng), regional.issuer())
}

fn new_instance(
    root: &Root,
    zonal: &Certified,
    identity: &InstanceIdentity,
    rng: &mut StdRng,
    now: u64,
) -> Result<Certified, IssueError> {
    let validity =
        window(levels::INSTANCE, zonal.validity, now).ok_or_else(|| outside(root, now))?;
    let template = levels::instance(rng, validity, identity);
    Certified::issue(&template, Key::generate(rng), zonal.issuer())
}

fn new_leaf(
    root: &Root,
    instance: &Certified,
    identity: &InstanceIdentity,
    rng: &mut StdRng,
    now: u64,
) -> Result<Certified, IssueError> {
    let validity =
        window(levels::LEAF, instance.validity, now).ok_or_else(|| outside(root, now))?;
    let template = levels::leaf(identity, validity, now);
    Certified::issue(&template, Key::generate(rng), instance.issuer())
}

/// The validity of a certificate issued now, if the whole of what lies ahead fits into its
/// issuer's. What lies behind is cut off where the issuer begins.
fn window(span: Span, issuer: Validity, now: u64) -> Option<Validity> {
    let until = now.checked_add(span.ahead)?;
    let from = now.saturating_sub(span.back).max(issuer.from);
    (issuer.covers(now) && until <= issuer.until).then_some(Validity { from, until })
}

fn outside(root: &Root, now: u64) -> IssueError {
    IssueError::OutsideRoot {
        now,
        root: root.validity(),
    }
}

#[cfg(test)]
mod tests;
