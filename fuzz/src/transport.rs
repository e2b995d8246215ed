//! Addresses, as configuration and the control plane write them, and the headers of proxies.

use nacre_transport::proxy_header::{self, Parsed};
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

/// Reads the header of a proxy: whole ones end where they say, and others ask for no more than a header can have.
pub fn proxy_header(data: &[u8]) -> Result<(), &'static str> {
    match proxy_header::parse(data) {
        Ok(Parsed::Header(header)) => {
            assert!(header.length <= data.len(), "more than there is");
            let again = proxy_header::parse(&data[..header.length]);
            assert_eq!(again, Ok(Parsed::Header(header)), "what follows was read");
            Ok(())
        }
        Ok(Parsed::Needs(needs)) => {
            assert!(needs > data.len() && needs <= 536, "{needs}");
            Err("needs-more")
        }
        Err(error) => Err(error.code()),
    }
}
