//! A host and servers that lie: the enclave never takes a wrong file, says why, and goes on.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::authority::Authority;
use crate::host::{Host, Servers};
use crate::server::Server;
use crate::setting::{Enclave, Function, model};

/// What is asked for, and the code that the enclave gives for what comes of it.
const LIES: [(&str, &str); 26] = [
    // The host's.
    ("elsewhere", "egress-tls-refused"),
    ("own-certificate", "egress-tls-refused"),
    ("expired", "egress-tls-refused"),
    ("cut", "egress-http-malformed"),
    ("flipped", "egress-http-malformed"),
    ("dripping", "egress-timeout"),
    ("recorded", "digest-mismatch"),
    ("replayed", "egress-tls-refused"),
    ("refused", "egress-refused"),
    ("silent", "egress-timeout"),
    ("closed", "egress-answer-malformed"),
    ("early", "egress-answer-malformed"),
    ("endless", "egress-answer-malformed"),
    ("garbage", "egress-answer-malformed"),
    // The servers', whom nobody believes either.
    ("wrong-bytes", "digest-mismatch"),
    ("longer", "egress-not-the-file"),
    ("shorter", "egress-http-malformed"),
    ("other-length", "egress-not-the-file"),
    ("encoded", "egress-not-the-file"),
    ("not-found", "egress-http-status"),
    ("no-http", "egress-http-malformed"),
    ("endless-head", "egress-http-malformed"),
    ("circles", "egress-redirect-refused"),
    ("leads-away", "egress-not-allowed"),
    ("leads-to-plain", "egress-redirect-refused"),
    // A name that the certificate does not bear.
    ("unnamed", "egress-tls-refused"),
];

/// Two names that do as they should, beside those that lie.
const GOOD: [&str; 2] = ["honest", "leads-home"];

/// Two that the certificates do not have to bear: they are never asked.
const NOT_SERVED: [&str; 1] = ["unnamed"];

struct World {
    model: Vec<u8>,
    enclave: Arc<Enclave>,
    host: Host,
    right: Server,
    _others: [Server; 3],
}

impl World {
    async fn new() -> Self {
        let model = model();
        let (authority, stranger) = (Authority::new("the web's"), Authority::new("the host's"));
        let lies = LIES.iter().map(|(name, _)| *name);
        let all: Vec<String> = lies
            .chain(GOOD)
            .map(|name| format!("{name}.test"))
            .collect();
        let served: Vec<&str> = all
            .iter()
            .map(String::as_str)
            .filter(|name| !NOT_SERVED.iter().any(|not| name.starts_with(not)))
            .collect();
        let start = |tls| Server::start(tls, model.clone());
        let right = start(authority.serves(&served)).await;
        let elsewhere = start(authority.serves(&["another.test"])).await;
        let own = start(stranger.serves(&served)).await;
        let expired = start(authority.served_until_2020(&served)).await;
        let allowed: String = all.iter().map(|name| format!("{name}:443\n")).collect();
        let enclave = Enclave::start(&allowed, &authority.root());
        let servers = Servers {
            right: right.address(),
            elsewhere: elsewhere.address(),
            own: own.address(),
            expired: expired.address(),
        };
        Self {
            host: Host::start(&enclave.egress(), servers),
            enclave: Arc::new(enclave),
            model,
            right,
            _others: [elsewhere, own, expired],
        }
    }

    fn function(&self, name: &str) -> Function {
        let url = format!("https://{name}.test/model.onnx");
        Function::new(name, &self.model, &[&url])
    }

    /// Status and code of a load, and what the log says last.
    async fn load(&self, function: Function) -> (u16, String, (String, String)) {
        let enclave = Arc::clone(&self.enclave);
        let loading = tokio::task::spawn_blocking(move || {
            let answer = enclave.load(&function);
            let code = match answer.status {
                200 => String::new(),
                _ => answer.code(),
            };
            (answer.status, code, enclave.last_event(&function))
        });
        loading.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lie_brings_a_wrong_file_in_and_none_stops_the_enclave() {
    let world = Arc::new(World::new().await);
    // What is replayed has to be recorded first.
    let (first, rest): (Vec<_>, Vec<_>) =
        LIES.into_iter().partition(|(name, _)| *name == "recorded");
    let mut told = Vec::new();
    for lies in [first, rest] {
        let mut loads = JoinSet::new();
        for (name, code) in lies {
            let world = Arc::clone(&world);
            loads.spawn(async move { (name, code, world.load(world.function(name)).await) });
        }
        told.extend(loads.join_all().await);
    }
    for (name, code, (status, refused, (event, why))) in told {
        assert_eq!((status, refused.as_str()), (409, "blob-missing"), "{name}");
        assert_eq!(event, "fetch-failed", "{name}: {why}");
        let url = format!("from https://{name}.test/model.onnx: {code}: ");
        assert!(why.contains(&url), "{name}: {why}");
    }
    let model = &world.model;
    assert!(!world.enclave.has(model) && !world.enclave.has(&vec![7; model.len()]));
    let unlisted = |name: &String| name.starts_with("unlisted");
    assert!(
        !world.host.asked().iter().any(unlisted),
        "the host was asked for a name off the list"
    );

    // It lives, and the truth is still taken.
    let (status, ..) = world.load(world.function("leads-home")).await;
    assert_eq!(status, 200);
    assert!(world.enclave.has(model));
    let asked = world.right.asked();
    assert!(
        asked.ends_with(&["leads-home.test".to_owned(), "honest.test".to_owned()]),
        "{asked:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_fails_gives_way_to_the_next() {
    let world = World::new().await;
    let urls = [
        "https://unlisted.test/model.onnx",
        "https://refused.test/model.onnx",
        "https://wrong-bytes.test/model.onnx",
        "https://honest.test/model.onnx",
        "https://not-found.test/model.onnx",
    ];
    let function = Function::new("lenet", &world.model, &urls);
    let (status, code, _) = world.load(function).await;
    assert_eq!((status, code.as_str()), (200, ""));
    let asked = [
        "refused.test:443",
        "wrong-bytes.test:443",
        "honest.test:443",
    ];
    assert_eq!(
        world.host.asked(),
        asked,
        "the list's order, and no name that is not allowed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_name_on_the_list_not_a_byte_leaves() {
    let world = World::new().await;
    for url in [
        "https://unlisted.test/model.onnx",
        "https://honest.test:8443/model.onnx",
    ] {
        let (status, code, event) = world
            .load(Function::new("lenet", &world.model, &[url]))
            .await;
        assert_eq!((status, code.as_str()), (409, "blob-missing"), "{url}");
        assert_eq!(event, Default::default(), "nothing was tried");
    }
    assert_eq!(world.host.asked(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_whose_parts_name_different_addresses_is_refused() {
    let world = World::new().await;
    let other = Function::new("lenet", &world.model, &["https://circles.test/model.onnx"]);
    let mut function = world.function("honest");
    function.name = "lenet".to_owned();
    function.manifest = other.manifest;
    let (status, code, _) = world.load(function).await;
    assert_eq!((status, code.as_str()), (422, "urls-mismatch"));
    assert_eq!(world.host.asked(), [""; 0]);
}
