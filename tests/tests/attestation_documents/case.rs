//! A case, and the setting that its document is made in.

use nacre_attestation_verifier::{
    Measurements, Pcr, Policy, ResultCode, Roots, UnixMillis, VerificationTime, VerifiedEvidence,
    VerifyError, verify,
};
use nacre_emulator::testing::ChainPlan;

use crate::cbor::{NULL, array, bytes, map, text, uint};
use crate::forge::{ES384, Envelope, Payload, image_pcr};

pub(crate) const NOW: u64 = 1_790_000_000_000;

pub(crate) const HOUR: u64 = 3_600_000;

pub(crate) const IMAGE: [[u8; 48]; 3] = [[0xa0; 48], [0xa1; 48], [0xa2; 48]];

pub(crate) const NONCE: &[u8] = b"a nonce of the verifier's choice";

/// A document and the circumstances it is judged in.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) expected: ResultCode,
    pub(crate) document: Vec<u8>,
    pub(crate) roots: Roots,
    pub(crate) now: u64,
    pub(crate) policy: Policy,
    pub(crate) nonce: Option<&'static [u8]>,
    pub(crate) public_key: Option<&'static [u8]>,
}

impl Case {
    pub(crate) fn complaint(&self) -> Option<String> {
        let bound = || {
            let evidence = judge(&self.document, &self.roots, self.now, &self.policy)?;
            self.nonce
                .map_or(Ok(()), |nonce| evidence.require_nonce(nonce))?;
            self.public_key
                .map_or(Ok(()), |key| evidence.require_public_key(key))
        };
        let found = bound();
        let code = found
            .as_ref()
            .map_or_else(VerifyError::code, |()| ResultCode::Trusted);
        (code != self.expected).then(|| {
            format!(
                "  {}: {} expected, {} found: {found:?}",
                self.name,
                self.expected.name(),
                code.name()
            )
        })
    }

    pub(crate) fn at(self, now: u64) -> Self {
        Self { now, ..self }
    }

    pub(crate) fn under(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    pub(crate) fn trusting(self, roots: Roots) -> Self {
        Self { roots, ..self }
    }
}

pub(crate) fn judge(
    document: &[u8],
    roots: &Roots,
    now: u64,
    policy: &Policy,
) -> Result<VerifiedEvidence, VerifyError> {
    let evidence = verify(document, roots, VerificationTime::Live(UnixMillis(now)))?;
    Ok(evidence.appraise(policy)?.into_evidence())
}

pub(crate) fn measurements() -> Measurements {
    let [pcr0, pcr1, pcr2] = IMAGE.map(Pcr);
    Measurements::new(pcr0, pcr1, pcr2)
}

pub(crate) fn policy() -> Policy {
    Policy::new(vec![measurements()]).unwrap()
}

/// A correct chain, and documents under it.
pub(crate) struct Setting {
    pub(crate) plan: ChainPlan,
    pub(crate) certificates: Vec<Vec<u8>>,
}

impl Setting {
    pub(crate) fn new() -> Self {
        Self::of(ChainPlan::correct(1, NOW))
    }

    pub(crate) fn of(plan: ChainPlan) -> Self {
        Self {
            certificates: plan.issue(),
            plan,
        }
    }

    pub(crate) fn changed(change: impl FnOnce(&mut ChainPlan)) -> Self {
        let mut plan = ChainPlan::correct(1, NOW);
        change(&mut plan);
        Self::of(plan)
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::development(self.certificates[0].clone()).unwrap()
    }

    /// A correct payload, with the nonce alone.
    pub(crate) fn payload(&self) -> Payload {
        let pcrs: Vec<_> = (0u8..16)
            .map(|index| (uint(index.into()), bytes(&image_pcr(index))))
            .collect();
        let bundle: Vec<_> = self.certificates[..4]
            .iter()
            .map(|der| bytes(der))
            .collect();
        Payload(vec![
            (
                text("module_id"),
                text("i-0123456789abcdef0-enc0123456789abcdef"),
            ),
            (text("digest"), text("SHA384")),
            (text("timestamp"), uint(NOW)),
            (text("pcrs"), map(&pcrs)),
            (text("certificate"), bytes(&self.certificates[4])),
            (text("cabundle"), array(&bundle)),
            (text("public_key"), NULL.to_vec()),
            (text("user_data"), NULL.to_vec()),
            (text("nonce"), bytes(NONCE)),
        ])
    }

    pub(crate) fn sign(&self, payload: &Payload) -> Vec<u8> {
        self.envelope(&payload.encode()).encode()
    }

    pub(crate) fn envelope(&self, payload: &[u8]) -> Envelope {
        Envelope::signed(ES384, payload, self.plan.leaf_key())
    }

    pub(crate) fn case(&self, name: &'static str, expected: ResultCode, document: Vec<u8>) -> Case {
        Case {
            name,
            expected,
            document,
            roots: self.roots(),
            now: NOW,
            policy: policy(),
            nonce: None,
            public_key: None,
        }
    }

    /// A correctly signed document with one field of the payload replaced.
    pub(crate) fn with(
        &self,
        name: &'static str,
        expected: ResultCode,
        field: &str,
        value: Vec<u8>,
    ) -> Case {
        self.case(name, expected, self.sign(&self.payload().set(field, value)))
    }
}
