//! TLS between a control plane and its PostgreSQL: the server is who the URL names, or nothing is said to it.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nacre_control_plane::{Database, keys};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::postgres::Server;

#[tokio::test]
async fn a_database_is_reached_by_tls_only_if_it_is_the_one_named() {
    // Addresses of this process's own, so that the port is free.
    let [.., high, low] = std::process::id().to_be_bytes();
    let named = Ipv4Addr::new(127, 101, high, low);
    let unnamed = Ipv4Addr::new(127, 102, high, low);
    let Some(server) = Server::prepared(|folder| tls_only(folder, named, unnamed)) else {
        return;
    };
    let local = server.create_database();
    let name = local.split(['/', '?']).nth(3).unwrap();
    let authority = server.folder().join("authority.pem");
    let stranger = server.folder().join("stranger.pem");
    let url = |host: Ipv4Addr, mode: &str, root: &Path| {
        let root = root.display();
        format!("postgres://postgres@{host}/{name}?sslmode={mode}&sslrootcert={root}")
    };

    let trusted = url(named, "verify-full", &authority);
    open(&trusted).await.unwrap();
    let made = server.ask(&local, "SELECT count(*) FROM api_keys");
    assert_eq!(made, ["1"], "the key was made over TLS");

    for (why, url) in [
        (
            "an authority that is not ours",
            url(named, "verify-full", &stranger),
        ),
        (
            "a name that it does not have",
            url(unnamed, "verify-full", &authority),
        ),
        ("no TLS", url(named, "disable", &authority)),
    ] {
        assert!(open(&url).await.is_err(), "{why}");
    }
    assert_eq!(server.ask(&local, "SELECT count(*) FROM api_keys"), ["1"]);
}

/// Whatever first needs the database: here, a key.
async fn open(url: &str) -> Result<(), keys::KeyError> {
    let database = Database::postgres(url).unwrap();
    keys::create(&database, "over TLS").await.map(drop)
}

/// A server that takes nothing but TLS over TCP.
fn tls_only(folder: &Path, named: Ipv4Addr, unnamed: Ipv4Addr) -> Vec<String> {
    let authority = authority("the database's");
    let params = CertificateParams::new(vec![named.to_string()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("server.pem", &pem("CERTIFICATE", certificate.der()));
    write("server.key", &pem("PRIVATE KEY", &key.serialize_der()));
    write("authority.pem", &pem("CERTIFICATE", authority.der()));
    let stranger = self::authority("a stranger's");
    write("stranger.pem", &pem("CERTIFICATE", stranger.der()));
    write(
        "hba.conf",
        "local all all trust\nhostssl all all all trust\n",
    );
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(folder.join("server.key"), private).unwrap();
    let file = |setting: &str, name: &str| format!("{setting}={}", folder.join(name).display());
    vec![
        format!("listen_addresses={named},{unnamed}"),
        "ssl=on".to_owned(),
        file("ssl_cert_file", "server.pem"),
        file("ssl_key_file", "server.key"),
        file("hba_file", "hba.conf"),
    ]
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}
