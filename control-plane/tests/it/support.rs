//! A control plane on port 0 with a clock that tests turn, and nodes that register with real evidence.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use nacre_attestation_verifier::{Measurements, Pcr, Policy, Roots};
use nacre_control_plane::clock::Clock;
use nacre_control_plane::{Config, ControlPlane, Database, RateLimits, StartError, keys};
use nacre_emulator::testing::{DevNsm, Wanted};
use nacre_protocol::api::market::{DEFAULT_CPU_MILLI, DEFAULT_REGION, Placement};
use nacre_protocol::api::{
    Challenge, CreateDeployment, Deployment, DesiredState, ObservedFunction, ObservedState, Offer,
    RegisterNode, Registered, Version,
};
use nacre_protocol::bundle::{Bundle, BundleFile};
use nacre_protocol::control::{Event, FunctionState};
use nacre_protocol::digest::Digest;
use nacre_protocol::evidence::{Evidence, register_leaf, registration_message};
use nacre_protocol::identity::IdentityStatement;
use nacre_protocol::ids::{BootId, DeploymentId, NodeId, OperatorId, PayoutId};
use nacre_protocol::merkle::Tree;
use nacre_protocol::problem::{PROBLEM_JSON, Problem};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::json;
use sqlx::Row as _;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use tempfile::TempDir;

use crate::postgres;

/// When the tests' clock starts.
pub(crate) const START_MS: u64 = 1_800_000_000_000;
/// PCR0–2 of the image that the policy names.
pub(crate) const IMAGE: [[u8; 48]; 3] = [[1; 48], [2; 48], [3; 48]];

/// A control plane, its API key, and the emulated hardware that it trusts.
pub(crate) struct Server {
    pub(crate) data: TempDir,
    pub(crate) database: Database,
    control_plane: Option<ControlPlane>,
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) key: String,
    pub(crate) nsm: DevNsm,
    clock: Arc<AtomicU64>,
    tune: fn(&mut Config),
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::tuned(|_| {}).await
    }

    pub(crate) async fn tuned(tune: fn(&mut Config)) -> Self {
        Self::on(postgres::fresh_database(), tune).await
    }

    /// On the PostgreSQL of this URL, or on SQLite.
    pub(crate) async fn on(postgres: Option<String>, tune: fn(&mut Config)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let database = match postgres {
            Some(url) => Database::postgres(&url).unwrap(),
            None => Database::Folder(data.path().to_owned()),
        };
        let key = keys::create(&database, "test").await.unwrap().key;
        let mut server = Self {
            data,
            database,
            control_plane: None,
            client: Client::builder().no_proxy().build().unwrap(),
            url: String::new(),
            key,
            nsm: DevNsm::new(IMAGE, START_MS),
            clock: Arc::new(AtomicU64::new(START_MS)),
            tune,
        };
        server.resume().await;
        server
    }

    /// Starts on the same data.
    pub(crate) async fn resume(&mut self) {
        let control_plane = self.another().await.unwrap();
        self.url = control_plane.url();
        self.control_plane = Some(control_plane);
    }

    /// Starts one more on the same data.
    pub(crate) async fn another(&self) -> Result<ControlPlane, StartError> {
        let mut config = config(self.data.path(), self.nsm.root_der());
        config.database = self.database.clone();
        let clock = Arc::clone(&self.clock);
        config.clock = Clock::from_fn(move || clock.load(Ordering::SeqCst));
        (self.tune)(&mut config);
        ControlPlane::bind(config).await
    }

    /// Whether several control planes may share the data.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.database, Database::Postgres(_))
    }

    pub(crate) async fn stop(&mut self) {
        self.control_plane.take().unwrap().shutdown().await;
    }

    /// The market's log and the tables tell the same.
    pub(crate) async fn audit(&self) {
        let found = nacre_control_plane::audit::market(&self.database).await;
        assert_eq!(found.unwrap(), Vec::<String>::new());
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    /// A number from the database itself.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        install_default_drivers();
        let url = match &self.database {
            Database::Folder(folder) => format!("sqlite://{}/nacre.db", folder.display()),
            Database::Postgres(url) => url.to_string(),
        };
        let options: AnyConnectOptions = url.parse().unwrap();
        let pool = AnyPoolOptions::new().max_connections(1);
        let pool = pool.connect_with(options).await.unwrap();
        let row = sqlx::query(sql).fetch_one(&pool).await.unwrap();
        pool.close().await;
        row.get(0)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// A request with the API key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.key)
    }

    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        expect(self.request(Method::GET, path), 200).await
    }

    pub(crate) async fn put(&self, bytes: &[u8]) -> Response {
        let path = format!("/v1/blobs/{}", Digest::of(bytes));
        self.request(Method::PUT, &path)
            .body(bytes.to_vec())
            .send()
            .await
            .unwrap()
    }

    /// Uploads a function of this name and memory, and makes its version.
    pub(crate) async fn function(&self, name: &str, memory: &str, model: &str) -> Version {
        let (files, bundle) = bundle(name, memory, model);
        for file in files {
            assert!(self.put(&file).await.status().is_success());
        }
        let body = json!({ "digest": bundle.digest() });
        expect(self.request(Method::POST, "/v1/functions").json(&body), 201).await
    }

    pub(crate) async fn deploy(&self, version: &Version, replicas: u32) -> Deployment {
        let order = order(version, replicas);
        expect(
            self.request(Method::POST, "/v1/deployments").json(&order),
            201,
        )
        .await
    }

    pub(crate) async fn deployment(&self, id: DeploymentId) -> Deployment {
        self.get(&format!("/v1/deployments/{id}")).await
    }

    /// Waits until the deployment is as wanted.
    pub(crate) async fn until(
        &self,
        id: DeploymentId,
        wanted: impl Fn(&Deployment) -> bool,
    ) -> Deployment {
        let poll = async {
            loop {
                let deployment = self.deployment(id).await;
                if wanted(&deployment) {
                    return deployment;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), poll)
            .await
            .expect("it comes to this")
    }

    pub(crate) async fn challenge(&self) -> [u8; 32] {
        let request = self.anonymous(Method::POST, "/v1/nodes/challenges");
        expect::<Challenge>(request, 201).await.nonce
    }

    /// Registers, and keeps the token.
    pub(crate) async fn register(&mut self, node: &mut TestNode) {
        let request = self.anonymous(Method::POST, "/v1/nodes");
        self.register_by(request, node).await;
    }

    /// The same, for the organisation of the API key.
    pub(crate) async fn register_own(&mut self, node: &mut TestNode) {
        let request = self.request(Method::POST, "/v1/nodes");
        self.register_by(request, node).await;
    }

    async fn register_by(&mut self, request: RequestBuilder, node: &mut TestNode) {
        let nonce = self.challenge().await;
        let now = self.now_ms();
        let registration = node.registration(&mut self.nsm, nonce, now);
        let registered: Registered = expect(request.json(&registration), 201).await;
        node.token = registered.token;
    }

    /// A payout that the operators of the organisation's nodes asked for.
    pub(crate) async fn payout(&self) -> PayoutId {
        let id = PayoutId::from_random([1; 16]);
        self.number(
            "INSERT INTO payouts (id, operator, amount, asked_ms)
             SELECT DISTINCT 'payout_01010101010101010101010101010101', operator, 5, 1
             FROM nodes WHERE organisation = 'default' RETURNING amount",
        )
        .await;
        id
    }

    pub(crate) async fn desired(&self, node: &TestNode, query: &str) -> DesiredState {
        let path = format!("/v1/nodes/{}/desired{query}", node.id);
        let request = self.anonymous(Method::GET, &path).bearer_auth(&node.token);
        expect(request, 200).await
    }

    /// Reports every desired function in this state.
    pub(crate) async fn report(&self, node: &TestNode, state: FunctionState) {
        let desired = self.desired(node, "").await;
        let functions = desired.functions.iter().map(|function| ObservedFunction {
            lease: function.lease,
            digest: function.digest,
            state,
            error: (state == FunctionState::Failed).then(|| "not-onnx: no graph".to_owned()),
            in_flight: Some(0),
            oldest_wait_ms: None,
        });
        let report = node.report(functions.collect(), vec![]);
        let response = self.observe(node, &report).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }

    pub(crate) fn observe(&self, node: &TestNode, report: &ObservedState) -> RequestBuilder {
        let path = format!("/v1/nodes/{}/observed", node.id);
        self.anonymous(Method::POST, &path)
            .bearer_auth(&node.token)
            .json(report)
    }
}

pub(crate) fn config(data: &Path, root: &[u8]) -> Config {
    let roots = Roots::development(root.to_vec()).unwrap();
    let [pcr0, pcr1, pcr2] = IMAGE.map(Pcr);
    let policy = Policy::new(vec![Measurements::new(pcr0, pcr1, pcr2)]).unwrap();
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        // Tests ask as fast as they can; those of the limits set them.
        rates: RateLimits {
            per_token: None,
            per_address: None,
        },
        ..Config::new(data.to_owned(), roots, policy)
    }
}

pub(crate) fn order(version: &Version, replicas: u32) -> CreateDeployment {
    CreateDeployment {
        function: version.function.clone(),
        digest: version.digest,
        replicas,
        cpu_milli: DEFAULT_CPU_MILLI,
        max_price: None,
        max_cpu_price: None,
        scaling: None,
        placement: Placement::default(),
    }
}

/// The blobs of a function, its OCI manifest last.
pub(crate) fn bundle(name: &str, memory: &str, model: &str) -> (Vec<Vec<u8>>, Bundle) {
    let toml = format!(
        "[function]\nname = \"{name}\"\nkind = \"onnx\"\n[model]\nfile = \"model.onnx\"\n\
         [limits]\nmemory = \"{memory}\"\ntimeout = \"2s\"\n"
    );
    let files = [
        ("nacre.toml", toml.into_bytes()),
        ("model.onnx", model.as_bytes().to_vec()),
    ];
    let listed = files.iter().map(|(name, bytes)| BundleFile {
        name: (*name).to_owned(),
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        urls: Vec::new(),
    });
    let bundle = Bundle::new(listed.collect()).unwrap();
    let mut blobs: Vec<_> = files.into_iter().map(|(_, bytes)| bytes).collect();
    blobs.push(bundle.to_oci_manifest());
    (blobs, bundle)
}

/// A node with its operator's key and its enclave's identity.
pub(crate) struct TestNode {
    pub(crate) id: NodeId,
    pub(crate) operator: SigningKey,
    pub(crate) region: String,
    pub(crate) offer: Offer,
    pub(crate) statement: IdentityStatement,
    pub(crate) token: String,
}

impl TestNode {
    pub(crate) fn new(n: u8, memory_bytes: u64, price: u64) -> Self {
        Self {
            id: NodeId::from_random([n; 16]),
            operator: SigningKey::from_bytes(&[n; 32]),
            region: DEFAULT_REGION.to_owned(),
            offer: Offer {
                memory_bytes,
                cpu_milli: 64_000,
                price,
                cpu_price: 0,
            },
            statement: statement(n),
            token: String::new(),
        }
    }

    pub(crate) fn boot(&self) -> BootId {
        self.statement.boot_id
    }

    pub(crate) fn operator_id(&self) -> OperatorId {
        OperatorId::from_public_key(self.operator.verifying_key().to_bytes())
    }

    /// What an honest node sends: its leaf shares a tree with another asker's.
    pub(crate) fn registration(
        &self,
        nsm: &mut DevNsm,
        nonce: [u8; 32],
        now_ms: u64,
    ) -> RegisterNode {
        let leaf = register_leaf(&nonce, &self.operator_id(), &self.id);
        let tree = Tree::new(vec![[9; 32], leaf]).unwrap();
        let document = nsm.attest(
            Wanted {
                user_data: Some(&self.statement.user_data()),
                nonce: Some(&tree.root()),
                public_key: Some(&self.statement.receipt_key),
            },
            now_ms,
        );
        RegisterNode {
            id: self.id,
            operator: self.operator_id(),
            endpoint: format!("127.0.0.1:{}", 7000 + u16::from(self.id.as_bytes()[0])),
            region: self.region.clone(),
            offer: self.offer,
            nonce,
            evidence: Evidence {
                document,
                statement: self.statement.encode(),
                leaf_index: 1,
                tree_size: 2,
                path: vec![[9; 32]],
            },
            signature: self.operator.sign(&registration_message(&leaf)).to_bytes(),
        }
    }

    pub(crate) fn report(
        &self,
        functions: Vec<ObservedFunction>,
        events: Vec<Event>,
    ) -> ObservedState {
        ObservedState {
            boot_id: self.boot(),
            functions,
            events,
        }
    }
}

pub(crate) fn statement(n: u8) -> IdentityStatement {
    IdentityStatement {
        tls_spki_sha256: [n; 32],
        receipt_key: [n; 64],
        hpke_key: [n; 32],
        boot_id: BootId::from_random([n; 16]),
    }
}

/// Sends, checks the status, and reads the JSON.
pub(crate) async fn expect<T: DeserializeOwned>(request: RequestBuilder, status: u16) -> T {
    let response = request.send().await.unwrap();
    let got = response.status();
    let body = response.text().await.unwrap();
    assert_eq!(got, status, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Sends, and checks that it is refused with this code, as problem+json.
pub(crate) async fn refused(request: RequestBuilder, status: u16, code: &str) -> Problem {
    problem(request.send().await.unwrap(), status, code).await
}

pub(crate) async fn problem(response: Response, status: u16, code: &str) -> Problem {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
    let problem: Problem = response.json().await.unwrap();
    assert_eq!(
        (problem.code.as_str(), problem.status),
        (code, status),
        "{problem}"
    );
    problem
}

/// All files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
    found
}
