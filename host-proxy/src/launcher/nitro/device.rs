//! What the Nitro Enclaves driver does for a launcher, apart from the driver: so that a launch can be tested on a
//! machine that has none, up to the last call.

use std::os::fd::AsFd;

use rustix::io::Errno;

/// The driver's device, and the memory that it takes.
pub(crate) trait NitroDevice: Send + Sync + 'static {
    /// An enclave's slot. Dropping it ends the enclave.
    type Vm: NitroVm<Memory = Self::Memory>;
    /// Huge pages of this process. Dropping it gives them back.
    type Memory: AsRef<[u8]> + AsMut<[u8]> + Send + 'static;

    /// Makes an enclave that has nothing yet.
    fn create_vm(&self) -> Result<Self::Vm, (Step, Errno)>;

    /// Maps zeroed huge pages: `bytes`, a multiple of `page`.
    fn map(&self, page: u64, bytes: u64) -> Result<Self::Memory, Errno>;
}

/// One enclave's slot in the driver. Its file descriptor hangs up when the enclave has ended.
pub(crate) trait NitroVm: AsFd + Send + Sync + 'static {
    /// What the device maps.
    type Memory;

    /// Where in the enclave's memory the image belongs.
    fn image_offset(&mut self) -> Result<u64, Errno>;

    /// Gives it memory; the first given is at its address 0, the next follows.
    fn add_memory(&mut self, memory: &Self::Memory) -> Result<(), Errno>;

    /// Gives it a processor of the pool's choice, and says which.
    fn add_vcpu(&mut self) -> Result<u32, Errno>;

    /// Starts it. Context id 0 lets the hypervisor choose; says which it has.
    fn start(&mut self, debug_mode: bool, cid: u64) -> Result<u64, Errno>;
}

/// A step of a launch, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Opening `/dev/nitro_enclaves`.
    Open,
    /// `NE_CREATE_VM`.
    CreateVm,
    /// `NE_GET_IMAGE_LOAD_INFO`.
    ImageOffset,
    /// Mapping huge pages.
    MapMemory,
    /// `NE_SET_USER_MEMORY_REGION`.
    AddMemory,
    /// `NE_ADD_VCPU`.
    AddVcpu,
    /// `NE_START_ENCLAVE`.
    Start,
}

impl Step {
    /// What it is called in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Open => "opening /dev/nitro_enclaves",
            Self::CreateVm => "NE_CREATE_VM",
            Self::ImageOffset => "NE_GET_IMAGE_LOAD_INFO",
            Self::MapMemory => "mapping huge pages",
            Self::AddMemory => "NE_SET_USER_MEMORY_REGION",
            Self::AddVcpu => "NE_ADD_VCPU",
            Self::Start => "NE_START_ENCLAVE",
        }
    }
}
