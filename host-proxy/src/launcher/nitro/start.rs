//! Taking the driver through its steps.

use std::io;

use nacre_image::eif::ReadAt as _;
use rustix::io::Errno;

use super::NitroConfig;
use super::device::{NitroDevice, NitroVm as _, Step};
use super::error::NitroError;
use super::resources::Pages;
use crate::launcher::image::CheckedImage;

/// An enclave that was started. Dropping it ends it, and only then gives its pages back.
pub(super) struct Started<D: NitroDevice> {
    pub(super) vm: D::Vm,
    pub(super) memory: Vec<D::Memory>,
    pub(super) cid: u32,
    pub(super) bytes: u64,
}

/// Takes the driver through its steps. Blocks; whatever fails, what was made is given back on return.
pub(super) fn start<D: NitroDevice>(
    device: &D,
    config: &NitroConfig,
    plan: &[Pages],
    image: &CheckedImage,
) -> Result<Started<D>, NitroError> {
    let cid = config.cid;
    let failed = |step| move |errno| NitroError::driver(step, errno, cid);
    let mut memory = Vec::with_capacity(plan.len());
    let mut vm = device
        .create_vm()
        .map_err(|(step, errno)| NitroError::driver(step, errno, cid))?;
    let offset = vm.image_offset().map_err(failed(Step::ImageOffset))?;
    let bytes = plan.iter().map(|pages| pages.size * pages.count).sum();
    let fits = offset
        .checked_add(image.launched.bytes)
        .is_some_and(|end| end <= bytes);
    if !fits {
        return Err(NitroError::ImageDoesNotFit { offset });
    }
    let mut begin = 0;
    for pages in plan {
        let length = pages.size * pages.count;
        let mut part = device
            .map(pages.size, length)
            .map_err(failed(Step::MapMemory))?;
        fill(part.as_mut(), begin, offset, image).map_err(NitroError::ImageChanged)?;
        vm.add_memory(&part).map_err(failed(Step::AddMemory))?;
        memory.push(part);
        begin += length;
    }
    for _ in 0..config.cpus {
        vm.add_vcpu().map_err(failed(Step::AddVcpu))?;
    }
    let asked = u64::from(cid.unwrap_or(0));
    let given = vm
        .start(config.debug_mode, asked)
        .map_err(failed(Step::Start))?;
    let cid =
        u32::try_from(given).map_err(|_| NitroError::driver(Step::Start, Errno::RANGE, cid))?;
    Ok(Started {
        vm,
        memory,
        cid,
        bytes,
    })
}

/// Writes that part of the image which belongs in this part of the memory, which begins at the enclave's address `begin`.
fn fill(part: &mut [u8], begin: u64, offset: u64, image: &CheckedImage) -> io::Result<()> {
    let size = image.launched.bytes;
    let end = begin.saturating_add(part.len() as u64);
    let (from, to) = (begin.max(offset), end.min(offset + size));
    if from >= to {
        return Ok(());
    }
    let within = |address: u64| usize::try_from(address - begin).unwrap_or(usize::MAX);
    let mut rest = &mut part[within(from)..within(to)];
    let mut at = from - offset;
    while !rest.is_empty() {
        let read = match image.file.read_at(rest, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        at += read as u64;
        rest = &mut rest[read..];
    }
    Ok(())
}
