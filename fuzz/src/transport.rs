//! Addresses, as configuration and the control plane write them.

use nacre_transport::{Address, AddressSyntaxError};

/// Reads an address: what is taken is written back as text that means the same.
pub fn address(data: &[u8]) -> Result<(), &'static str> {
    let text = core::str::from_utf8(data).map_err(|_| "not-text")?;
    match text.parse::<Address>() {
        Ok(address) => {
            let written = address.to_string();
            assert_eq!(written.parse().as_ref(), Ok(&address), "{written:?}");
            assert!(
                !address.is_loopback() || text.starts_with("unix:") || text.starts_with("tcp://"),
                "no enclave is on loopback"
            );
            Ok(())
        }
        Err(AddressSyntaxError::Scheme(_)) => Err("scheme"),
        Err(AddressSyntaxError::NoPort(_)) => Err("no-port"),
        Err(AddressSyntaxError::Port(_)) => Err("port"),
        Err(AddressSyntaxError::Cid(_)) => Err("cid"),
        Err(AddressSyntaxError::Host(_)) => Err("host"),
        Err(_) => Err("path"),
    }
}
