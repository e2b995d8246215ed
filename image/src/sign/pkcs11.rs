//! A key in a PKCS#11 token.
