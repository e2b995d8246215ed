//! The real driver: five ioctls on `/dev/nitro_enclaves` and its enclaves, and huge pages. All of this crate's unsafe
//! code is here.
//!
//! Source of numbers and layouts: Linux, `include/uapi/linux/nitro_enclaves.h`. The crate `nitro-enclaves` 0.7 is not
//! used: it does not give its mappings and its enclave back when a launch fails or ends, so that the next launch finds
//! no huge pages, and it cannot tell the driver's own error numbers (256 and above) apart.
#![expect(
    unsafe_code,
    reason = "an ioctl's argument and a mapping's lifetime are between us and the kernel"
)]

use std::ffi::c_void;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::slice;

use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, Setter, Updater, ioctl, opcode};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::device::{NitroDevice, NitroVm, Step};

/// The driver's device.
const DEVICE: &str = "/dev/nitro_enclaves";
/// `NE_MAGIC`
const MAGIC: u8 = 0xae;
const NE_CREATE_VM: Opcode = opcode::read::<u64>(MAGIC, 0x20);
const NE_ADD_VCPU: Opcode = opcode::read_write::<u32>(MAGIC, 0x21);
const NE_GET_IMAGE_LOAD_INFO: Opcode = opcode::read_write::<ImageLoadInfo>(MAGIC, 0x22);
const NE_SET_USER_MEMORY_REGION: Opcode = opcode::write::<UserMemoryRegion>(MAGIC, 0x23);
const NE_START_ENCLAVE: Opcode = opcode::read_write::<StartInfo>(MAGIC, 0x24);
/// `NE_EIF_IMAGE`
const EIF_IMAGE: u64 = 1;
/// `NE_ENCLAVE_DEBUG_MODE`
const DEBUG_MODE: u64 = 1;
/// `MAP_HUGE_SHIFT`: above it stands the logarithm of the page's size.
const HUGE_SHIFT: u32 = 26;

/// `struct ne_image_load_info`
#[repr(C)]
#[derive(Debug)]
struct ImageLoadInfo {
    flags: u64,
    memory_offset: u64,
}

/// `struct ne_user_memory_region`
#[repr(C)]
#[derive(Debug)]
struct UserMemoryRegion {
    flags: u64,
    memory_size: u64,
    userspace_addr: u64,
}

/// `struct ne_enclave_start_info`
#[repr(C)]
#[derive(Debug)]
struct StartInfo {
    flags: u64,
    enclave_cid: u64,
}

/// `/dev/nitro_enclaves`.
#[derive(Debug)]
pub(crate) struct KernelDevice;

impl NitroDevice for KernelDevice {
    type Vm = KernelVm;
    type Memory = HugePages;

    fn create_vm(&self) -> Result<KernelVm, (Step, Errno)> {
        let opened = OpenOptions::new().read(true).write(true).open(DEVICE);
        let device = opened.map_err(|error| (Step::Open, errno(&error)))?;
        // SAFETY: NE_CREATE_VM on the driver's device; `CreateVm` describes its argument and what it returns.
        let vm = unsafe { ioctl(&device, CreateVm::default()) };
        vm.map(KernelVm).map_err(|error| (Step::CreateVm, error))
    }

    fn map(&self, page: u64, bytes: u64) -> Result<HugePages, Errno> {
        let shift = page.trailing_zeros() << HUGE_SHIFT;
        HugePages::map(bytes, MapFlags::HUGETLB | MapFlags::from_bits_retain(shift))
    }
}

/// Watches a descriptor: it becomes readable when it hangs up.
pub(super) fn watch(descriptor: BorrowedFd<'_>) -> io::Result<AsyncFd<OwnedFd>> {
    let own = descriptor.try_clone_to_owned()?;
    // SAFETY: an `OwnedFd` is the same open descriptor until it is dropped, and `AsyncFd` forgets it before that.
    let watched = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) };
    watched.map_err(io::Error::from)
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Writes the new slot's number to its argument and returns a new file descriptor.
#[derive(Default)]
struct CreateVm {
    slot: u64,
}

// SAFETY: the opcode is the driver's, it writes eight bytes at the pointer, which `slot` has, and returns a descriptor
// that nobody else owns.
unsafe impl Ioctl for CreateVm {
    type Output = OwnedFd;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        NE_CREATE_VM
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.slot).cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> Result<OwnedFd, Errno> {
        // SAFETY: the call succeeded, so the number is a descriptor of this process, made for this call.
        Ok(unsafe { OwnedFd::from_raw_fd(out) })
    }
}

/// One enclave. The driver ends it when its descriptor closes, also because this process died.
#[derive(Debug)]
pub(crate) struct KernelVm(OwnedFd);

impl AsFd for KernelVm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl NitroVm for KernelVm {
    type Memory = HugePages;

    fn image_offset(&mut self) -> Result<u64, Errno> {
        let mut info = ImageLoadInfo {
            flags: EIF_IMAGE,
            memory_offset: 0,
        };
        // SAFETY: the driver reads and writes one `ne_image_load_info`.
        unsafe {
            ioctl(
                &self.0,
                Updater::<NE_GET_IMAGE_LOAD_INFO, _>::new(&mut info),
            )?
        };
        Ok(info.memory_offset)
    }

    fn add_memory(&mut self, memory: &HugePages) -> Result<(), Errno> {
        let region = UserMemoryRegion {
            flags: 0,
            memory_size: memory.bytes as u64,
            userspace_addr: memory.address.as_ptr() as u64,
        };
        // SAFETY: the driver reads one `ne_user_memory_region` and pins the pages it names, which are a live mapping. The
        // enclave writes to them only once it is started, and from then on nobody here looks at them.
        unsafe { ioctl(&self.0, Setter::<NE_SET_USER_MEMORY_REGION, _>::new(region)) }
    }

    fn add_vcpu(&mut self) -> Result<u32, Errno> {
        // 0 asks for any of the pool.
        let mut cpu = 0u32;
        // SAFETY: the driver reads and writes one 32-bit number.
        unsafe { ioctl(&self.0, Updater::<NE_ADD_VCPU, _>::new(&mut cpu))? };
        Ok(cpu)
    }

    fn start(&mut self, debug_mode: bool, cid: u64) -> Result<u64, Errno> {
        let mut info = StartInfo {
            flags: if debug_mode { DEBUG_MODE } else { 0 },
            enclave_cid: cid,
        };
        // SAFETY: the driver reads and writes one `ne_enclave_start_info`.
        unsafe { ioctl(&self.0, Updater::<NE_START_ENCLAVE, _>::new(&mut info))? };
        Ok(info.enclave_cid)
    }
}

/// Zeroed pages of this process alone.
#[derive(Debug)]
pub(crate) struct HugePages {
    address: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping belongs to this value alone, like the bytes of a `Box<[u8]>`.
unsafe impl Send for HugePages {}

impl HugePages {
    fn map(bytes: u64, kind: MapFlags) -> Result<Self, Errno> {
        let bytes = usize::try_from(bytes).map_err(|_| Errno::NOMEM)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing that exists. The kernel
        // reserves the pages now, so that touching them later cannot fail.
        let mapped =
            unsafe { mmap_anonymous(null_mut(), bytes, protection, MapFlags::PRIVATE | kind)? };
        let address = NonNull::new(mapped.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { address, bytes })
    }
}

impl AsRef<[u8]> for HugePages {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `bytes` bytes are mapped there for as long as `self` lives, zeroed by the kernel; `&self` keeps writers
        // of this process away.
        unsafe { slice::from_raw_parts(self.address.as_ptr(), self.bytes) }
    }
}

impl AsMut<[u8]> for HugePages {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` is the only way to them.
        unsafe { slice::from_raw_parts_mut(self.address.as_ptr(), self.bytes) }
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `map` made, and no reference to it outlives `self`.
        if let Err(error) = unsafe { munmap(self.address.as_ptr().cast(), self.bytes) } {
            tracing::warn!(%error, "huge pages are not given back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a C compiler computes them from the header.
    #[test]
    fn the_numbers_are_the_drivers() {
        assert_eq!(NE_CREATE_VM, 0x8008_ae20);
        assert_eq!(NE_ADD_VCPU, 0xc004_ae21);
        assert_eq!(NE_GET_IMAGE_LOAD_INFO, 0xc010_ae22);
        assert_eq!(NE_SET_USER_MEMORY_REGION, 0x4018_ae23);
        assert_eq!(NE_START_ENCLAVE, 0xc010_ae24);
    }

    #[test]
    fn mappings_are_zeroed_writable_and_given_back() {
        let mut pages = HugePages::map(4 << 20, MapFlags::empty()).unwrap();
        assert!(pages.as_ref().iter().all(|byte| *byte == 0));
        pages.as_mut()[(4 << 20) - 1] = 7;
        assert_eq!(pages.as_ref()[(4 << 20) - 1], 7);
        let address = format!("{:x}-", pages.address.as_ptr() as usize);
        let mapped = || {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            maps.lines().any(|line| line.starts_with(&address))
        };
        // Neighbours may have grown together with it; then there is nothing to see.
        if mapped() {
            drop(pages);
            assert!(!mapped());
        }
    }

    #[test]
    fn without_the_device_opening_it_is_what_fails() {
        if !std::path::Path::new(DEVICE).exists() {
            let failed = KernelDevice.create_vm().unwrap_err();
            assert_eq!(failed, (Step::Open, Errno::NOENT));
        }
    }
}
