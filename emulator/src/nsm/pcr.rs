//! Platform configuration registers.

use std::fmt;

use sha2::{Digest as _, Sha384};

use super::ErrorCode;

/// How many registers there are.
pub const PCR_COUNT: usize = 32;
/// How many of them the hypervisor owns: they are locked before the enclave runs.
const BOOT_PCRS: usize = 16;

/// The value of one register: a SHA-384 digest.
pub type Pcr = [u8; 48];

/// What `old` becomes when it is extended with `data`: SHA-384(`old` ‖ `data`).
#[must_use]
pub fn extended(old: &Pcr, data: &[u8]) -> Pcr {
    Sha384::new()
        .chain_update(old)
        .chain_update(data)
        .finalize()
        .into()
}

/// PCR0–15 as the hypervisor sets them before the enclave runs. All zero until set.
#[derive(Clone, PartialEq, Eq)]
pub struct BootPcrs([Pcr; BOOT_PCRS]);

impl BootPcrs {
    /// Registers of an image with these PCR0, PCR1 and PCR2. Three zeros mean debug mode.
    #[must_use]
    pub fn of_image(measurements: [Pcr; 3]) -> Self {
        let mut pcrs = [[0; 48]; BOOT_PCRS];
        pcrs[..3].copy_from_slice(&measurements);
        Self(pcrs)
    }

    /// PCR3: the parent instance's IAM role, by its ARN.
    #[must_use]
    pub fn with_role(mut self, arn: &str) -> Self {
        self.0[3] = extended(&[0; 48], arn.as_bytes());
        self
    }

    /// PCR4: the parent instance, by its id (`i-…`). Real parents always have one.
    #[must_use]
    pub fn with_instance(mut self, instance_id: &str) -> Self {
        self.0[4] = extended(&[0; 48], instance_id.as_bytes());
        self
    }

    /// PCR8: the certificate that signed the image.
    #[must_use]
    pub fn with_signer(mut self, pcr8: Pcr) -> Self {
        self.0[8] = pcr8;
        self
    }
}

impl fmt::Debug for BootPcrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, value)| **value != [0; 48]);
        f.debug_map()
            .entries(set.map(|(index, value)| (index, hex::encode(value))))
            .finish()
    }
}

/// All registers and which of them can no longer change.
#[derive(Clone, Debug)]
pub(super) struct PcrBank {
    values: [Pcr; PCR_COUNT],
    locked: [bool; PCR_COUNT],
}

impl PcrBank {
    pub(super) fn boot(pcrs: &BootPcrs) -> Self {
        let mut values = [[0; 48]; PCR_COUNT];
        let mut locked = [false; PCR_COUNT];
        values[..BOOT_PCRS].copy_from_slice(&pcrs.0);
        locked[..BOOT_PCRS].fill(true);
        Self { values, locked }
    }

    pub(super) fn describe(&self, index: u16) -> Result<(bool, &Pcr), ErrorCode> {
        let index = checked(index)?;
        Ok((self.locked[index], &self.values[index]))
    }

    pub(super) fn extend(&mut self, index: u16, data: &[u8]) -> Result<&Pcr, ErrorCode> {
        let index = self.writable(index)?;
        self.values[index] = extended(&self.values[index], data);
        Ok(&self.values[index])
    }

    /// Locks one register. Locking it twice is an error, as on the device.
    pub(super) fn lock(&mut self, index: u16) -> Result<(), ErrorCode> {
        let index = self.writable(index)?;
        self.locked[index] = true;
        Ok(())
    }

    /// Locks registers `[0, range)`; those that are locked already stay so.
    pub(super) fn lock_range(&mut self, range: u16) -> Result<(), ErrorCode> {
        let range = usize::from(range);
        let part = self
            .locked
            .get_mut(..range)
            .ok_or(ErrorCode::InvalidIndex)?;
        part.fill(true);
        Ok(())
    }

    /// The locked registers, lowest first: those that an attestation document shows.
    pub(super) fn locked(&self) -> impl Iterator<Item = (u8, &Pcr)> {
        (0u8..)
            .zip(self.values.iter().zip(self.locked))
            .filter_map(|(index, (value, locked))| locked.then_some((index, value)))
    }

    fn writable(&self, index: u16) -> Result<usize, ErrorCode> {
        let index = checked(index)?;
        if self.locked[index] {
            Err(ErrorCode::ReadOnlyIndex)
        } else {
            Ok(index)
        }
    }
}

fn checked(index: u16) -> Result<usize, ErrorCode> {
    let index = usize::from(index);
    if index < PCR_COUNT {
        Ok(index)
    } else {
        Err(ErrorCode::InvalidIndex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS's documentation computes PCR4 this way, and every real document agrees; this id and
    /// digest were computed with another implementation of SHA-384.
    #[test]
    fn an_instance_id_becomes_pcr4() {
        let pcrs = BootPcrs::of_image([[0; 48]; 3]).with_instance("i-0123456789abcdef0");
        let expected = "d6432900ac1c343cb40286898792c55e962aef0cc35c4910c0c286145b51af19e782cb21cc31a042671d7dfbd398251c";
        assert_eq!(hex::encode(pcrs.0[4]), expected);
        assert_eq!(pcrs.0[3], [0; 48]);
    }

    #[test]
    fn locking_a_range_leaves_the_rest_open() {
        let mut bank = PcrBank::boot(&BootPcrs::of_image([[1; 48]; 3]));
        bank.lock_range(18).unwrap();
        assert_eq!(
            bank.locked().map(|(index, _)| index).collect::<Vec<_>>(),
            (0..18).collect::<Vec<u8>>()
        );
        assert_eq!(bank.extend(17, b"x"), Err(ErrorCode::ReadOnlyIndex));
        assert!(bank.extend(18, b"x").is_ok());
        assert_eq!(bank.lock_range(33), Err(ErrorCode::InvalidIndex));
        assert_eq!(bank.lock_range(32), Ok(()));
    }
}
