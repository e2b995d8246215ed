//! `/dev/nsm`, as AWS's own library speaks to it.

use aws_nitro_enclaves_nsm_api::api::{Request, Response};
use aws_nitro_enclaves_nsm_api::driver;

use super::{Nsm, NsmError};

/// Where the device stands inside a Nitro Enclave.
pub const DEVICE: &str = "/dev/nsm";

/// The device, opened once and closed when dropped.
#[derive(Debug)]
pub struct Device {
    descriptor: i32,
}

impl Device {
    /// Opens [`DEVICE`].
    pub fn open() -> Result<Self, NsmError> {
        match driver::nsm_init() {
            descriptor if descriptor >= 0 => Ok(Self { descriptor }),
            _ => Err(NsmError::NoDevice),
        }
    }
}

impl Nsm for Device {
    fn call(&mut self, request: Request) -> Result<Response, NsmError> {
        Ok(driver::nsm_process_request(self.descriptor, request))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        driver::nsm_exit(self.descriptor);
    }
}
